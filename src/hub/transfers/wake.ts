import type { Clock } from "../../base/clock.ts";

/** Those who wait for something to change, in long polls and event streams. */
export interface Wake {
  ring(): void;
  /** Until the next ring, and at most so long. Rejects when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function createWake({ clock }: { readonly clock: Clock }): Wake {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => {
      rung.resolve();
      rung = Promise.withResolvers<void>();
    },
    wait: async (ms, signal) => {
      const rest = new AbortController();
      const pause = clock.delay(ms, AbortSignal.any([signal, rest.signal]));
      try {
        await Promise.race([pause, rung.promise]);
      } finally {
        pause.catch(() => undefined);
        rest.abort();
      }
    },
  };
}
