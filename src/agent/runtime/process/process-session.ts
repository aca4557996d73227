import type { Clock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { ProcessTable } from "../../../base/process-table.ts";
import { PORTS_VARIABLE, parsePorts } from "../../../translate/process-launch.ts";
import type { ProcessMark, SessionRun } from "../run-handle.ts";
import { MARK_VARIABLE } from "./process-mark.ts";
import type { ProcessHandle } from "./process-runtime.ts";
import { MS_A_TICK, type SessionProcesses } from "./session-processes.ts";

/** The kernel's own freezer, where a cgroup was delegated. */
export interface Freezer {
  /** False: this launch has no group of its own. */
  freeze(mark: ProcessMark, isWanted: boolean): boolean;
  /** Undefined: this launch has no group of its own. */
  isFrozen(mark: ProcessMark): boolean | undefined;
}

export interface ProcessSessionDeps {
  readonly clock: Clock;
  readonly table: ProcessTable;
  readonly processes: SessionProcesses;
  readonly freezer: Freezer;
}

const LIMIT_MS = 3000;
const LOOK_MS = 10;

/** A session that runs as a plain process of the box, with everything it has started. */
export function createProcessSession(handle: ProcessHandle, deps: ProcessSessionDeps): SessionRun {
  const { clock, table, processes, freezer } = deps;
  const { identity, mark } = handle;
  const leader = identity.pid;
  const ports = parsePorts(table.environment(leader, MARK_VARIABLE)?.get(PORTS_VARIABLE) ?? "");

  const isStill = (): boolean => freezer.isFrozen(mark) ?? processes.areStopped(mark, leader);

  const settle = async (isWanted: boolean, act: () => void): Promise<void> => {
    const untilMs = clock.monotonicMs() + LIMIT_MS;
    for (;;) {
      act();
      if (handle.stat() === undefined) throw new AppError("not-found", `${handle.label} has ended`);
      if (isStill() === isWanted) return;
      if (clock.monotonicMs() >= untilMs) {
        throw new AppError(
          "timeout",
          `${handle.label} does not ${isWanted ? "stand still" : "go on"} within ${LIMIT_MS / 1000} s`,
        );
      }
      await clock.delay(LOOK_MS);
    }
  };

  const turn = (isFrozen: boolean) =>
    settle(isFrozen, () => {
      if (!freezer.freeze(mark, isFrozen)) processes.signal(mark, leader, isFrozen ? "SIGSTOP" : "SIGCONT");
    });

  return {
    ...handle,
    // What it may use counts for all that it has started.
    stat: () => {
      const stat = handle.stat();
      const usage = stat === undefined ? undefined : processes.usage(leader);
      if (stat === undefined || usage === undefined) return stat;
      return { ...stat, cpuTicks: usage.cpuMs / MS_A_TICK, rssBytes: usage.memoryBytes };
    },
    platform: "process",
    instance: String(leader),
    canFreeze: true,
    freeze: () => turn(true),
    thaw: () => turn(false),
    isFrozen: async () => isStill(),
    endpoints: async () => ports,
    usage: async () => processes.usage(leader),
    networkPid: () => undefined,
    // What stands still hears no signal but the last.
    stop: async (ladder) => {
      if (isStill()) await turn(false).catch(() => undefined);
      return handle.stop(ladder);
    },
  };
}
