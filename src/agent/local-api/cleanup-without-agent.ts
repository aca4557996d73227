import type { CleanupResult, CleanupWish } from "../../contract/local-status.ts";
import type { FoundProcess, ProcessRuntime } from "../runtime/process/process-runtime.ts";
import type { StopLadder } from "../runtime/run-handle.ts";
import { createTunnelFilter } from "../start-marks/cleanup-with-agent.ts";
import type { StartMarks } from "../start-marks/start-marks.ts";

export interface CleanupDeps {
  readonly runtime: Pick<ProcessRuntime, "sweep" | "adopt">;
  readonly stopLadderOf: (kind: string) => StopLadder;
  /** Removes the records of processes; called once all are gone. */
  readonly clearRecords: () => Promise<void>;
  readonly marks: StartMarks;
}

type CleanedProcess = CleanupResult["processes"][number];

/**
 * Ends every process that carries the mark of this state directory, or those of one tunnel, all at the same time. The caller holds the lock of the state
 * directory: with an agent alive this would fight it. Records stay when a process could not be ended.
 */
export async function cleanupWithoutAgent(
  { runtime, stopLadderOf, clearRecords, marks }: CleanupDeps,
  { dryRun, tunnel }: Pick<CleanupWish, "dryRun" | "tunnel">,
): Promise<CleanupResult> {
  const clean = async ({ identity, mark }: FoundProcess): Promise<CleanedProcess> => {
    const entry = { pid: identity.pid, workloadId: mark.workloadId, generation: mark.generation };
    if (dryRun)
      return {
        ...entry,
        outcome: "would-stop",
        reason: "no agent runs, and it carries the mark of this state directory",
      };
    const handle = runtime.adopt(identity, mark);
    if (handle === undefined) return { ...entry, outcome: "stopped", reason: "it ended by itself meanwhile" };
    const outcome = await handle.stop(stopLadderOf(mark.kind));
    return outcome === "gone"
      ? { ...entry, outcome: "stopped", reason: "no agent runs, and it carries the mark of this state directory" }
      : { ...entry, outcome: "unkillable", reason: "it survived SIGKILL; the kernel holds it" };
  };
  const known = await marks.list();
  const isOfTunnel = createTunnelFilter(tunnel, known);
  const processes = await Promise.all((await runtime.sweep()).filter(({ mark }) => isOfTunnel(mark)).map(clean));
  if (dryRun || processes.some(({ outcome }) => outcome === "unkillable")) return { processes };
  if (tunnel === undefined) await clearRecords();
  const gone = known.filter(({ kind, id, nonce = "" }) => isOfTunnel({ kind, workloadId: id, nonce }));
  await marks.remove(gone.map(({ name }) => name));
  return { processes, marksRemoved: gone.length };
}
