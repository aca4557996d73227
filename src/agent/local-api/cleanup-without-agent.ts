import type { CleanupResult } from "../../contract/local-status.ts";
import type { FoundProcess, ProcessRuntime, StopLadder } from "../runtime/process/process-runtime.ts";

export interface CleanupDeps {
  readonly runtime: Pick<ProcessRuntime, "sweep" | "adopt">;
  readonly stopLadderOf: (kind: string) => StopLadder;
  /** Removes the records of processes; called once all are gone. */
  readonly clearRecords: () => Promise<void>;
}

type CleanedProcess = CleanupResult["processes"][number];

/**
 * Ends every process that carries the mark of this state directory, all at the same time. The caller holds the lock of the state
 * directory: with an agent alive this would fight it. Records stay when a process could not be ended.
 */
export async function cleanupWithoutAgent(
  { runtime, stopLadderOf, clearRecords }: CleanupDeps,
  { dryRun }: { readonly dryRun: boolean },
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
  const processes = await Promise.all((await runtime.sweep()).map(clean));
  if (!dryRun && processes.every(({ outcome }) => outcome !== "unkillable")) await clearRecords();
  return { processes };
}
