import { boundedWait } from "./bounded-wait.ts";
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
    wait: (ms, signal) => {
      const begin = (wake: () => void) => {
        waiting.add(wake);
        return () => waiting.delete(wake);
      };
      return boundedWait<void>({ ms, begin, late: () => undefined }, { clock, signal });
    },
  };
}
