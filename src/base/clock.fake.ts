import { type Clock, clampTimerMs } from "./clock.ts";

/** A clock that only moves when a test says so. Timers fire in order of their due time, then of their creation. */
export interface FakeClock extends Clock {
  /** Moves both clocks on by `ms`, firing what falls due, and lets promises settle after each firing. */
  advance(ms: number): Promise<void>;
  /** Moves only the wall clock, as NTP or an operator does. */
  stepWall(ms: number): void;
  /** Timers that have not fired or been cleared. */
  pending(): number;
}

interface Entry {
  readonly dueMs: number;
  readonly fire: () => void;
}

export function createFakeClock(startWallMs = Date.parse("2026-01-15T10:30:45Z")): FakeClock {
  let nowMs = 0;
  let wallOffsetMs = startWallMs;
  const entries = new Set<Entry>();

  const nextDue = (untilMs: number): Entry | undefined => {
    let next: Entry | undefined;
    for (const entry of entries) {
      if (entry.dueMs <= untilMs && (next === undefined || entry.dueMs < next.dueMs)) next = entry;
    }
    return next;
  };

  const timer: Clock["timer"] = (ms, fire) => {
    const entry = { dueMs: nowMs + clampTimerMs(ms), fire };
    entries.add(entry);
    return { clear: () => entries.delete(entry) };
  };

  return {
    wallMs: () => wallOffsetMs + nowMs,
    monotonicMs: () => nowMs,
    timer,
    delay: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const onAbort = () => {
          handle.clear();
          reject(signal?.reason);
        };
        const handle = timer(ms, () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        });
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await settle();
      for (let entry = nextDue(untilMs); entry !== undefined; entry = nextDue(untilMs)) {
        entries.delete(entry);
        nowMs = Math.max(nowMs, entry.dueMs);
        entry.fire();
        await settle();
      }
      nowMs = untilMs;
    },
    stepWall: (ms) => {
      wallOffsetMs += ms;
    },
    pending: () => entries.size,
  };
}

/** Lets every promise that can settle without a timer or I/O do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}
