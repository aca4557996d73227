import type { Clock } from "./clock.ts";

export interface Limit {
  readonly ms: number;
  /** Why the work is ended when the time is up. */
  readonly late: () => Error;
  /** Usually of something that lives on: nothing stays behind at it. */
  readonly signal?: AbortSignal | undefined;
}

/** Does work whose signal aborts with the caller's, or after `ms`. It is over when the work is: a limit only asks it to end. */
export async function withinLimit<Value>(
  { ms, late, signal }: Limit,
  clock: Pick<Clock, "timer">,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const over = new AbortController();
  const onAbort = () => over.abort(signal?.reason);
  const timer = clock.timer(ms, () => over.abort(late()));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    return await work(over.signal);
  } finally {
    timer.clear();
    signal?.removeEventListener("abort", onAbort);
  }
}
