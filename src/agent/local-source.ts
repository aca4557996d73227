import type { CleanupResult } from "../contract/local-status.ts";
import type { AgentView } from "./agent-view.ts";
import type { LocalApiSource } from "./local-api/local-api-source.ts";
import type { Reconciler } from "./reconcile/reconciler.ts";
import { type Unit, unitsOf } from "./reconcile/unit.ts";
import type { WorkloadFiles } from "./runtime/process/process-runtime.ts";

export interface LocalSourceDeps {
  readonly view: AgentView;
  readonly metrics: () => Promise<string>;
  readonly reconciler: Pick<Reconciler, "reconcile" | "sweepStrays" | "units">;
  readonly filesOf: (workloadId: string) => WorkloadFiles;
  readonly isExpected: (workloadId: string) => boolean;
  readonly agentLog: string;
}

/** What the local API tells and asks, from the parts of a running agent. */
export function createLocalSource(deps: LocalSourceDeps): LocalApiSource {
  const { reconciler, view } = deps;
  return {
    status: view.status,
    explain: view.explain,
    metrics: deps.metrics,
    reconcile: reconciler.reconcile,
    cleanup: async (options) => {
      const strays = await reconciler.sweepStrays(options);
      const kept = [...reconciler.units().values()].flatMap(unitsOf).flatMap(keptProcess);
      const ended = strays.map(({ found, outcome }): CleanupResult["processes"][number] => ({
        pid: found.identity.pid,
        workloadId: found.mark.workloadId,
        generation: found.mark.generation,
        outcome: outcome === "gone" ? "stopped" : outcome,
        reason: "it carries our mark and belongs to no workload that runs",
      }));
      return { processes: [...kept, ...ended] };
    },
    logFile: (id) => {
      if (id === "agent") return deps.agentLog;
      return reconciler.units().has(id) || deps.isExpected(id) ? deps.filesOf(id).logPath : undefined;
    },
  };
}

function keptProcess({ id, generation, handle, phase, isUnexplained, role }: Unit): CleanupResult["processes"] {
  if (handle === undefined) return [];
  const undecided = isUnexplained ? "the server has not said yet whether it is expected" : "it is expected";
  const wanted = role === "successor" ? "it is to take over once its media is proved" : undecided;
  const reason = phase === "stopping" ? "it is being stopped" : wanted;
  return [{ pid: handle.identity.pid, workloadId: id, generation, outcome: "kept", reason }];
}
