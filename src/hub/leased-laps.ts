import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

/** What one hub of a fleet does, lap by lap, while it holds the lease for it. */
export interface LeasedLaps {
  /** Begins the sentence that says that it cannot be done: `Tunnels`. */
  readonly title: string;
  /** Between two laps that nothing asks for. */
  readonly periodMs: number;
  /** After one that failed. Nothing makes that come sooner: a store that is away is not asked more often. */
  readonly retryMs: number;
  lap(): Promise<void>;
  onFailed?(): void;
  /** Milliseconds until a lap is due by itself. */
  untilDueMs?(): number;
  /** While another hub holds the lease, hints are its business. */
  isOthers(): boolean;
  /** Asked for once a lap is over; resolves when something has called for one since that lap began. */
  untilCalled(): Promise<void>;
}

/** Runs laps until the signal. A failure is said once, until a lap succeeds. */
export async function runLeasedLaps(
  laps: LeasedLaps,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    try {
      await laps.lap();
      isFailing = false;
    } catch (thrown) {
      if (signal.aborted) return;
      if (!isFailing) {
        log.warn(`${laps.title} cannot be carried out, which is tried until it can: ${messageOf(thrown)}`);
      }
      isFailing = true;
      laps.onFailed?.();
    }
    const rest = new AbortController();
    const dueMs = laps.untilDueMs?.() ?? Number.POSITIVE_INFINITY;
    const pauseMs = Math.max(0, Math.min(isFailing ? laps.retryMs : laps.periodMs, dueMs));
    const pause = clock.delay(pauseMs, AbortSignal.any([signal, rest.signal])).catch(() => undefined);
    await Promise.race(isFailing || laps.isOthers() ? [pause] : [pause, laps.untilCalled()]);
    rest.abort();
  }
}

/** Calls for a lap. A call that comes while one is under way is heard after it. */
export interface LapBell {
  ring(): void;
  /** What was called for until now is about to be looked at. */
  silence(): void;
  untilRung(): Promise<void>;
}

export function createLapBell(): LapBell {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => rung.resolve(),
    silence: () => {
      rung = Promise.withResolvers<void>();
    },
    untilRung: () => rung.promise,
  };
}
