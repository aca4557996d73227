import type { ProcStat } from "../../../base/proc-stat.ts";
import type { StopRung } from "../run-handle.ts";

export interface SignalPlan {
  /** As kill(2) takes it: negative for a process group. */
  readonly target: number;
  readonly signals: readonly NodeJS.Signals[];
}

/**
 * What one rung sends to a process whose identity was just proved. The group is signalled only by way of its leader: of
 * any other process we do not know whose group it is in.
 *
 * A stopped process (`T`) keeps signals pending for ever, so SIGCONT follows; nothing else ever gets one, because a
 * program may take it as news. SIGKILL needs none.
 */
export function planSignals(rung: StopRung, stat: ProcStat): SignalPlan {
  const isStopped = stat.state === "T" && rung.signal !== "SIGKILL" && rung.signal !== "SIGCONT";
  return {
    target: rung.toGroup && stat.processGroup === stat.pid ? -stat.pid : stat.pid,
    signals: isStopped ? [rung.signal, "SIGCONT"] : [rung.signal],
  };
}
