import type { Clock, Timer } from "../../../base/clock.ts";
import { errnoOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { isLive } from "../../../base/proc-stat.ts";
import type { ProcessIdentity } from "../../../base/process-identity.ts";
import type { KeptProcess } from "../../../base/process-table.ts";
import type { ExitStatus } from "../../../base/spawn.ts";
import type { ProcessExit, ProcessMark, StopLadder, StopOutcome, StopRung } from "../run-handle.ts";
import type { ProcessHandle } from "./process-runtime.ts";
import { planSignals } from "./stop-signals.ts";
import type { Survivors } from "./survivors.ts";

/** A process that was just proved to be ours, and how its end will be learnt. */
export interface ProvedProcess {
  readonly identity: ProcessIdentity;
  readonly mark: ProcessMark;
  readonly isAdopted: boolean;
  /** Closed by the handle once the process is gone. */
  readonly kept: KeptProcess;
  readonly ended: Promise<ExitStatus>;
  /** Makes `ended` come sooner until the returned function is called. */
  readonly hurry: () => () => void;
}

export interface HandleDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly survivors: Survivors;
  readonly pageBytes: number;
}

export function createHandle(proved: ProvedProcess, deps: HandleDeps): ProcessHandle {
  const { identity, mark, kept, isAdopted } = proved;
  let isGone = false;
  let stopping: Promise<StopOutcome> | undefined;
  let cleared: Promise<void> | undefined;

  const exited = proved.ended.then((status): ProcessExit => {
    isGone = true;
    kept.close();
    cleared = deps.survivors.end(mark);
    return { ...status, isAdopted, atMonotonicMs: deps.clock.monotonicMs() };
  });

  /** False when there is nothing left that could be signalled. */
  const send = (rung: StopRung): boolean => {
    const stat = kept.stat();
    if (!isLive(stat) || stat.startTicks !== identity.startTicks) return false;
    const plan = planSignals(rung, stat);
    try {
      for (const signal of plan.signals) process.kill(plan.target, signal);
    } catch (thrown) {
      if (errnoOf(thrown) === "ESRCH") return false;
      deps.log.error(`Not allowed to send ${rung.signal} to ${mark.workloadId} (pid ${identity.pid})`);
    }
    return true;
  };

  const goneWithin = async (ms: number): Promise<boolean> => {
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = deps.clock.timer(ms, resolve);
    });
    await Promise.race([exited, late]);
    timer?.clear();
    return isGone;
  };

  const climb = async (ladder: StopLadder): Promise<StopOutcome> => {
    const relax = proved.hurry();
    try {
      for (const rung of ladder) {
        if (isGone) break;
        // A process that is dead but not yet reported needs no signal, only the time until the report.
        const graceMs = send(rung) ? rung.graceMs : REPORT_MS;
        if (await goneWithin(graceMs)) break;
      }
    } finally {
      relax();
    }
    if (!isGone) return "unkillable";
    await cleared;
    return "gone";
  };

  return {
    label: `pid ${identity.pid}`,
    identity,
    mark,
    isAdopted,
    exited,
    stat: () => {
      const stat = isGone ? undefined : kept.stat();
      if (!isLive(stat)) return undefined;
      return { state: stat.state, cpuTicks: stat.cpuTicks, rssBytes: stat.rssPages * deps.pageBytes };
    },
    signal: (signal) => !isGone && send({ signal, graceMs: 0, toGroup: false }),
    // One ladder at a time: two would send FFmpeg the fourth signal, at which it drops its trailer.
    stop: (ladder) => {
      stopping ??= climb(ladder).finally(() => {
        stopping = undefined;
      });
      return stopping;
    },
  };
}

/** From a process's death to its report, at most: an event-loop turn for a child, a poll for an adopted one. */
const REPORT_MS = 1000;
