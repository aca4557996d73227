/**
 * Time by argument. Every decision uses `monotonicMs`, which no NTP step or time zone moves; `wallMs` is for display only.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. May jump. Display only. */
  wallMs(): number;
  /** Milliseconds on a clock that never jumps. Its zero is arbitrary and differs between processes. */
  monotonicMs(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. Values are clamped to what a timer can hold. */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fire` once after `ms`. The handle keeps the process alive until it fires or is cleared. */
  timer(ms: number, fire: () => void): Timer;
}

export interface Timer {
  clear(): void;
}

/** Node's timers hold 31 bits: a longer delay would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export function clampTimerMs(ms: number): number {
  if (Number.isNaN(ms)) return 0;
  return Math.min(Math.max(ms, 0), MAX_TIMER_MS);
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  delay: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(handle);
        reject(signal?.reason);
      };
      const handle = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, clampTimerMs(ms));
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  timer: (ms, fire) => {
    const handle = setTimeout(fire, clampTimerMs(ms));
    return { clear: () => clearTimeout(handle) };
  },
};
