import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";

/** A bucket of tokens a caller: `burst` at once, and `perSecond` from then on. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface RateLimiter {
  /** Throws `rate-limited` with the time after which one more is allowed. */
  take(name: string, rate: Rate): void;
}

/** More names than this at a time: those that were not seen for longest begin afresh. */
const MAX_NAMES = 50_000;

export function createRateLimiter({ clock }: { readonly clock: Clock }): RateLimiter {
  const buckets = new Map<string, { level: number; atMs: number }>();
  return {
    take: (name, { perSecond, burst }) => {
      const nowMs = clock.monotonicMs();
      const held = buckets.get(name);
      const level = held === undefined ? burst : Math.min(burst, held.level + ((nowMs - held.atMs) * perSecond) / 1000);
      buckets.delete(name);
      buckets.set(name, { level: level < 1 ? level : level - 1, atMs: nowMs });
      if (buckets.size > MAX_NAMES) {
        const [oldest] = buckets.keys();
        if (oldest !== undefined) buckets.delete(oldest);
      }
      if (level >= 1) return;
      const retryAfterMs = Math.max(1000, ((1 - level) * 1000) / perSecond);
      throw new AppError("rate-limited", `too many requests; allowed: ${perSecond} a second, ${burst} at once`, {
        retryAfterMs,
      });
    },
  };
}
