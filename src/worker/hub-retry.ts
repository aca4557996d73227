import { fullJitterMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { createWake } from "../base/wake.ts";

/**
 * How long who has asked the hub in vain waits before it asks again: longer and longer, and no longer than until the hub takes a
 * heartbeat. Those go on at their own pace, however long the hub is away; and a long poll that a balancer cuts, or that ends with one of
 * several hubs, says nothing of the next one.
 */
export interface HubRetry {
  /** It has taken a heartbeat. */
  answered(): void;
  /** Resolves also when the signal aborts. */
  pause(attempt: number, signal: AbortSignal): Promise<void>;
}

const RETRY = { baseMs: 500, maxMs: 15_000 } as const;
/** Also where it takes heartbeats, and nothing else. */
const LEAST_MS = 200;

export function createHubRetry({ clock, random }: { readonly clock: Clock; readonly random: Random }): HubRetry {
  const answers = createWake({ clock });
  return {
    answered: answers.ring,
    pause: async (attempt, signal) => {
      try {
        await clock.delay(LEAST_MS, signal);
        await answers.wait(fullJitterMs(attempt, RETRY, random), signal);
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      }
    },
  };
}
