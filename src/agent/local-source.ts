import type { CleanupResult, CleanupWish } from "../contract/local-status.ts";
import type { AgentView } from "./agent-view.ts";
import type { LocalApiSource } from "./local-api/local-api-source.ts";
import type { Reconciler } from "./reconcile/reconciler.ts";
import type { WorkloadFiles } from "./runtime/process/process-runtime.ts";

export interface LocalSourceDeps {
  readonly view: AgentView;
  readonly metrics: () => Promise<string>;
  readonly reconciler: Pick<Reconciler, "reconcile" | "units">;
  readonly cleanup: (wish: CleanupWish) => Promise<CleanupResult>;
  readonly sessions: Pick<LocalApiSource, "touch" | "place">;
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
    cleanup: deps.cleanup,
    touch: deps.sessions.touch,
    place: deps.sessions.place,
    logFile: (id) => {
      if (id === "agent") return deps.agentLog;
      return reconciler.units().has(id) || deps.isExpected(id) ? deps.filesOf(id).logPath : undefined;
    },
  };
}
