import type { Clock } from "./clock.ts";

export interface BoundedWait<Value> {
  readonly ms: number;
  /** Begins to listen; nothing may come before it returns. Gives what ends the listening, which is called once, however the wait ends. */
  readonly begin: (resolve: (value: Value) => void, reject: (reason: unknown) => void) => () => void;
  /** What it comes to when nothing has come in time; may throw. */
  readonly late: () => Value;
}

/**
 * Waits for something that comes from elsewhere: until it is there, the time is up, or the signal aborts, which rejects with its reason.
 * Leaves no timer and no listener behind.
 */
export function boundedWait<Value>(
  { ms, begin, late }: BoundedWait<Value>,
  { clock, signal }: { readonly clock: Pick<Clock, "timer">; readonly signal: AbortSignal },
): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let isOver = false;
    const end = (act: () => void) => {
      if (isOver) return;
      isOver = true;
      timer.clear();
      signal.removeEventListener("abort", onAbort);
      leave();
      act();
    };
    const give = (value: Value) => end(() => resolve(value));
    const fail = (reason: unknown) => end(() => reject(reason));
    const onAbort = () => fail(signal.reason);
    const leave = begin(give, fail);
    const timer = clock.timer(ms, () => {
      try {
        give(late());
      } catch (thrown) {
        fail(thrown);
      }
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
