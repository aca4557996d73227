import type { Clock } from "./clock.ts";

/**
 * Those who wait for something to change. One that has waited leaves nothing behind: a promise that is raced again and again, and never
 * settles, would keep each of those races for ever.
 */
export interface Wake {
  ring(): void;
  /** Until the next ring, and at most so long. Rejects when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function createWake({ clock }: { readonly clock: Pick<Clock, "timer"> }): Wake {
  const waiting = new Set<() => void>();
  return {
    ring: () => {
      for (const wake of [...waiting]) wake();
    },
    wait: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const leave = () => {
          waiting.delete(wake);
          timer.clear();
          signal.removeEventListener("abort", fail);
        };
        const wake = () => {
          leave();
          resolve();
        };
        const fail = () => {
          leave();
          reject(signal.reason);
        };
        const timer = clock.timer(ms, wake);
        waiting.add(wake);
        signal.addEventListener("abort", fail, { once: true });
      }),
  };
}
