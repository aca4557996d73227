/**
 * A part that lives until it is told to stop. `run` resolves when it has stopped and released all it owned, and rejects
 * when it is broken. The signal is its whole life: there is no second way to stop it.
 */
export interface Service {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Runs services until `signal` aborts or one of them ends, then stops the others in reverse order of their start.
 * Resolves when all have stopped; rejects with the first failure, after all have stopped.
 */
export async function runServices(services: readonly Service[], signal: AbortSignal): Promise<void> {
  const running: { readonly stop: AbortController; readonly done: Promise<void> }[] = [];
  let failure: { readonly reason: unknown } | undefined;
  const ended = new AbortController();

  for (const service of services) {
    if (signal.aborted || ended.signal.aborted) break;
    const stop = new AbortController();
    const done = service.run(stop.signal).then(
      () => ended.abort(),
      (reason: unknown) => {
        if (!(stop.signal.aborted && reason === stop.signal.reason)) failure ??= { reason };
        ended.abort();
      },
    );
    running.push({ stop, done });
  }

  await untilAborted(AbortSignal.any([signal, ended.signal]));
  for (const { stop, done } of running.reverse()) {
    stop.abort(signal.reason);
    await done;
  }
  if (failure !== undefined) throw failure.reason;
}

/** Resolves once the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
