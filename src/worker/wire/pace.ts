import type { Clock } from "../../base/clock.ts";
import { type BucketLevel, refill } from "../../base/token-bucket.ts";
import { windowFor } from "./link-window.ts";

/** Holds bytes to a rate. Shared by all that shares the rate. */
export interface Pace {
  /** Resolves when these bytes may go; more than is left may, and the next wait for it. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
  /** One connection more shares the rate, until it leaves. */
  join(): PaceShare;
  /** There is a rate now. */
  isHeld(): boolean;
}

export interface PaceShare {
  /** That may be under way on this connection, as many as share the rate now. */
  windowBytes(): number;
  leave(): void;
}

const TURN_MS = 20;
/** Of a second: what may go at once after a quiet time. */
const BURST = 0.1;

export interface RatePace extends Pace {
  /** Nothing of what was taken is remembered: a new one would be the same. */
  isRested(): boolean;
}

/** The rate is asked for each time: it may change, and what was taken beyond it before is owed still. `undefined`: as fast as it goes. */
export function createPace(rate: () => number | undefined, clock: Clock): RatePace {
  let level: BucketLevel | undefined;
  /** Bytes that may go now; below zero: that more have gone. */
  const left = () => {
    const perSecond = rate();
    if (perSecond === undefined) {
      level = undefined;
      return undefined;
    }
    const burst = Math.max(1, perSecond * BURST);
    const nowMs = clock.monotonicMs();
    level = refill(level ?? { tokens: burst, atMs: nowMs }, { perSecond, burst }, nowMs);
    return { ...level, isFull: level.tokens >= burst };
  };
  // Else who comes back first takes everything, and the others are cut off for their silence. Who is next is woken by who was first:
  // if each looked for itself, what comes in while the next one sleeps would be lost.
  const line: PromiseWithResolvers<void>[] = [];
  let connections = 0;
  return {
    isHeld: () => rate() !== undefined,
    isRested: () => left()?.isFull !== false,
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
      if (left() === undefined) return;
      signal.throwIfAborted();
      const turn = Promise.withResolvers<void>();
      const onAbort = () => turn.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      line.push(turn);
      if (line[0] === turn) turn.resolve();
      try {
        await turn.promise;
        for (let now = left(); now !== undefined && now.tokens < 1; now = left()) await clock.delay(TURN_MS, signal);
        if (level !== undefined) level = { ...level, tokens: level.tokens - bytes };
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
    isHeld: () => first.isHeld() || second.isHeld(),
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
