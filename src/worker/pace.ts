import type { Clock } from "../base/clock.ts";
import { createTokenBucket } from "../base/token-bucket.ts";

/** Holds bytes to a rate. Shared by all that shares the rate. */
export interface Pace {
  /** Resolves when these bytes may go; more than is left may, and the next wait for it. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
}

const TURN_MS = 20;
/** Of a second: what may go at once after a quiet time. */
const BURST = 0.1;

/** `undefined`: as fast as it goes. */
export function createPace(bytesPerSecond: number | undefined, clock: Clock): Pace {
  if (bytesPerSecond === undefined) return { take: async () => undefined };
  const bucket = createTokenBucket({ perSecond: bytesPerSecond, burst: Math.max(1, bytesPerSecond * BURST) });
  return {
    take: async (bytes, signal) => {
      while (bucket.left(clock.monotonicMs()) <= 0) await clock.delay(TURN_MS, signal);
      bucket.spend(bytes);
    },
  };
}
