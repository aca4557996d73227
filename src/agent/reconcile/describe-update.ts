import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { Blocked } from "./allocate.ts";
import { blockedText } from "./blocked-text.ts";
import type { Unit } from "./unit.ts";

/** Where the update of a running workload stands; undefined: nothing about it is to be updated. */
export function updateOf(
  unit: Unit | undefined,
  blocked: Blocked | undefined,
  nowMs: number,
): WorkloadStatus["update"] | undefined {
  if (unit === undefined) return undefined;
  const { successor, predecessor, failedUpdate } = unit;
  const before = failedUpdate === undefined ? undefined : `update failed: ${failedUpdate.cause}`;
  if (successor !== undefined) {
    const how = successorText(successor, unit.generation);
    return {
      state: "proving",
      message: before === undefined ? how : `${how}; the last ${before}`,
      generation: successor.generation,
      ...(successor.handle?.identity === undefined ? {} : { pid: successor.handle.identity.pid }),
    };
  }
  if (predecessor !== undefined) {
    const { generation, handle, phase } = predecessor;
    const end = phase === "unkillable" ? "cannot be killed" : "is being stopped";
    return {
      state: "replacing",
      message: `generation ${generation} ${end}: it has been replaced`,
      generation,
      ...(handle?.identity === undefined ? {} : { pid: handle.identity.pid }),
    };
  }
  if (unit.handle === undefined) return undefined;
  if (blocked !== undefined) return { state: "waiting", message: `update waits: ${blockedText(unit.id, blocked)}` };
  if (failedUpdate === undefined || before === undefined) return undefined;
  return {
    state: "failed",
    message: before,
    generation: failedUpdate.generation,
    nextTryInSeconds: Math.max(0, (failedUpdate.dueAtMs - nowMs) / 1000),
  };
}

function successorText({ generation, phase }: Unit, besideGeneration: number): string {
  if (phase === "stopping")
    return `generation ${generation} is being stopped: it is not wanted any more, or not proved`;
  if (phase === "unkillable")
    return `generation ${generation} cannot be killed: nothing else is tried until it is gone`;
  return `generation ${generation} runs beside generation ${besideGeneration} until its media is proved`;
}

/** The workload runs, and not as it is expected: the way there has failed or is barred. */
export function updateTrouble(unit: Unit, blocked: Blocked | undefined): string | undefined {
  if (unit.failedUpdate !== undefined) return `update failed: ${unit.failedUpdate.cause}`;
  return blocked === undefined ? undefined : `update waits: ${blockedText(unit.id, blocked)}`;
}
