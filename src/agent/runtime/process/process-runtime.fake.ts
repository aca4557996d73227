import type { Clock } from "../../../base/clock.ts";
import type { ProcessExit, ProcessMark, StopOutcome } from "../run-handle.ts";
import type { FoundProcess, ProcessHandle, ProcessRuntime } from "./process-runtime.ts";

/** A process table in memory, for tests of decisions that no real process can be made to force at the right moment. */
export interface FakeProcessRuntime extends ProcessRuntime {
  readonly live: ReadonlyMap<number, FakeProcess>;
  /** Ends a process as the kernel would. */
  end(pid: number, exit?: Partial<ProcessExit>): void;
  /** A process that is there without this runtime having started it. */
  plant(mark: ProcessMark): FoundProcess;
  /** The next start fails with this. */
  failNextStart(error: Error): void;
  /** Processes that ignore every signal. */
  readonly deaf: Set<number>;
  readonly signalled: number[];
}

interface FakeProcess extends FoundProcess {
  readonly exited: Promise<ProcessExit>;
  readonly settle: (exit: ProcessExit) => void;
}

export function createFakeProcessRuntime(clock: Clock, bootId = "boot-1"): FakeProcessRuntime {
  const live = new Map<number, FakeProcess>();
  const deaf = new Set<number>();
  const signalled: number[] = [];
  let nextPid = 1000;
  let startError: Error | undefined;

  const create = (mark: ProcessMark): FakeProcess => {
    const { promise, resolve } = Promise.withResolvers<ProcessExit>();
    const pid = nextPid++;
    const process = {
      identity: { pid, startTicks: pid * 10, bootId },
      mark,
      isLeader: true,
      exited: promise,
      settle: resolve,
    };
    live.set(pid, process);
    return process;
  };

  const end = (pid: number, exit: Partial<ProcessExit> = {}) => {
    const process = live.get(pid);
    live.delete(pid);
    process?.settle({ code: 1, signal: null, isAdopted: false, atMonotonicMs: clock.monotonicMs(), ...exit });
  };

  const handleOf = (process: FakeProcess, isAdopted: boolean): ProcessHandle => {
    const { pid } = process.identity;
    return {
      label: `pid ${pid}`,
      identity: process.identity,
      mark: process.mark,
      isAdopted,
      exited: process.exited,
      stat: () => (live.has(pid) ? { state: "S", cpuTicks: 0, rssBytes: 0 } : undefined),
      signal: () => {
        if (live.has(pid)) signalled.push(pid);
        return live.has(pid);
      },
      stop: async (ladder): Promise<StopOutcome> => {
        signalled.push(pid);
        if (deaf.has(pid)) {
          for (const rung of ladder) await clock.delay(rung.graceMs);
          return "unkillable";
        }
        end(pid, { code: 255, isAdopted });
        return "gone";
      },
    };
  };

  return {
    live,
    deaf,
    signalled,
    end,
    plant: (mark) => create(mark),
    failNextStart: (error) => {
      startError = error;
    },
    start: async (mark) => {
      const error = startError;
      startError = undefined;
      if (error !== undefined) throw error;
      return handleOf(create(mark), false);
    },
    adopt: (identity, mark) => {
      const process = live.get(identity.pid);
      const isSame =
        process?.identity.startTicks === identity.startTicks &&
        process.identity.bootId === identity.bootId &&
        process.mark.nonce === mark.nonce;
      return isSame && process !== undefined ? handleOf(process, true) : undefined;
    },
    sweep: async (except) => [...live.values()].filter(({ identity }) => except?.has(identity.pid) !== true),
  };
}
