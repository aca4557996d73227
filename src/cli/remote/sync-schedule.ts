import { backoffCeilingMs } from "../../base/backoff.ts";

/** What is known of a directory between two runs; times are monotonic. */
export interface SyncMoment {
  /** Undefined before the first run. */
  readonly lastRunMs: number | undefined;
  /** The first and the last change that no run has seen. */
  readonly firstChangeMs: number | undefined;
  readonly lastChangeMs: number | undefined;
  /** Runs that failed, in a row. */
  readonly failures: number;
}

export interface SyncPace {
  /** Changes wait for company; at most ten times as long. */
  readonly debounceMs: number;
  /** Without any change that was seen: a watch may miss one, and a box tells of none. */
  readonly everyMs: number;
}

const RETRY = { baseMs: 2000, maxMs: 300_000 } as const;
const MOST_DEBOUNCES = 10;

/** When the next run is due, monotonic. Pure. */
export function nextRunMs({ lastRunMs, firstChangeMs, lastChangeMs, failures }: SyncMoment, pace: SyncPace): number {
  if (lastRunMs === undefined) return 0;
  if (failures > 0) return lastRunMs + backoffCeilingMs(failures - 1, RETRY);
  const routine = lastRunMs + pace.everyMs;
  if (firstChangeMs === undefined || lastChangeMs === undefined) return routine;
  const settled = lastChangeMs + pace.debounceMs;
  const latest = firstChangeMs + MOST_DEBOUNCES * pace.debounceMs;
  return Math.min(settled, latest, routine);
}
