import type { Clock } from "../base/clock.ts";
import { createTokenBucket, type TokenBucket } from "../base/token-bucket.ts";
import { windowFor } from "./link-window.ts";

/** Holds bytes to a rate. Shared by all that shares the rate. */
export interface Pace {
  /** Resolves when these bytes may go; more than is left may, and the next wait for it. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
  /** One connection more shares the rate, until it leaves. */
  join(): PaceShare;
}

export interface PaceShare {
  /** That may be under way on this connection, as many as share the rate now. */
  windowBytes(): number;
  leave(): void;
}

const TURN_MS = 20;
/** Of a second: what may go at once after a quiet time. */
const BURST = 0.1;

/** The rate is asked for each time: it may change. `undefined`: as fast as it goes. */
export function createPace(rate: () => number | undefined, clock: Clock): Pace {
  let bucket: { readonly of: number; readonly tokens: TokenBucket } | undefined;
  const now = () => {
    const bytesPerSecond = rate();
    if (bytesPerSecond === undefined) return undefined;
    if (bucket?.of !== bytesPerSecond) {
      const burst = Math.max(1, bytesPerSecond * BURST);
      bucket = { of: bytesPerSecond, tokens: createTokenBucket({ perSecond: bytesPerSecond, burst }) };
    }
    return bucket.tokens;
  };
  // Else who comes back first takes everything, and the others are cut off for their silence. Who is next is woken by who was first:
  // if each looked for itself, what comes in while the next one sleeps would be lost.
  const line: PromiseWithResolvers<void>[] = [];
  let connections = 0;
  return {
    join: () => {
      connections += 1;
      let hasLeft = false;
      return {
        windowBytes: () => windowFor(rate(), connections),
        leave: () => {
          if (!hasLeft) connections -= 1;
          hasLeft = true;
        },
      };
    },
    take: async (bytes, signal) => {
      if (now() === undefined) return;
      signal.throwIfAborted();
      const turn = Promise.withResolvers<void>();
      const onAbort = () => turn.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      line.push(turn);
      if (line[0] === turn) turn.resolve();
      try {
        await turn.promise;
        for (let tokens = now(); tokens !== undefined && tokens.left(clock.monotonicMs()) <= 0; tokens = now()) {
          await clock.delay(TURN_MS, signal);
        }
        now()?.spend(bytes);
      } finally {
        signal.removeEventListener("abort", onAbort);
        line.splice(line.indexOf(turn), 1);
        line[0]?.resolve();
      }
    },
  };
}

/** Both hold what takes from it. */
export function bothPaces(first: Pace, second: Pace): Pace {
  return {
    take: async (bytes, signal) => {
      await first.take(bytes, signal);
      await second.take(bytes, signal);
    },
    join: () => {
      const shares = [first.join(), second.join()];
      return {
        windowBytes: () => Math.min(...shares.map((share) => share.windowBytes())),
        leave: () => {
          for (const share of shares) share.leave();
        },
      };
    },
  };
}
