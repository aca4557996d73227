import type { Clock } from "../base/clock.ts";
import { isLive } from "../base/proc-stat.ts";
import type { ProcessTable } from "../base/process-table.ts";
import { sendSignal } from "../base/send-signal.ts";

export interface KillLadderDeps {
  readonly clock: Clock;
  readonly table: Pick<ProcessTable, "pids" | "stat">;
}

const STEPS = [
  { signal: "SIGHUP", waitMs: 2000 },
  { signal: "SIGTERM", waitMs: 5000 },
  { signal: "SIGKILL", waitMs: 2000 },
] as const satisfies readonly { readonly signal: NodeJS.Signals; readonly waitMs: number }[];
const POLL_MS = 50;

/**
 * Ends a command and all that it started and that did not leave its session: told first, then asked, then killed. An interactive
 * shell gives each job a group of its own, so the whole session counts, not one group. Resolves when nothing of it runs, or
 * when the kernel holds on to what was killed.
 */
export async function endSession(leaderPid: number, { clock, table }: KillLadderDeps): Promise<void> {
  for (const { signal, waitMs } of STEPS) {
    const untilMs = clock.monotonicMs() + waitMs;
    for (const pid of membersOf(leaderPid, table)) {
      sendSignal(pid, signal);
      // One that was stopped hears nothing but the last.
      if (signal !== "SIGKILL") sendSignal(pid, "SIGCONT");
    }
    while (clock.monotonicMs() < untilMs) {
      if (membersOf(leaderPid, table).length === 0) return;
      await clock.delay(POLL_MS);
    }
  }
}

/** Live processes whose session or group is the leader's. While there is one, the kernel gives its number to nobody else. */
export function membersOf(leaderPid: number, table: KillLadderDeps["table"]): readonly number[] {
  return table.pids().filter((pid) => {
    const stat = table.stat(pid);
    return isLive(stat) && (stat.session === leaderPid || stat.processGroup === leaderPid);
  });
}

/** To every process of a group. One that is gone is no error. */
export function signalGroup(leaderPid: number, signal: NodeJS.Signals): void {
  sendSignal(-leaderPid, signal);
}
