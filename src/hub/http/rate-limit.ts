import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { type BucketLevel, type Rate, refill } from "../../base/token-bucket.ts";

/** A bucket of tokens a caller. */
export interface RateLimiter {
  /** Throws `rate-limited` with the time after which one more is allowed. */
  take(name: string, rate: Rate): void;
  /** What was taken, or will be, does not count. */
  giveBack(name: string, rate: Rate, tokens: number): void;
}

/** More names than this at a time: those that were not seen for longest begin afresh. */
const MAX_NAMES = 50_000;

export function createRateLimiter({ clock }: { readonly clock: Clock }): RateLimiter {
  const buckets = new Map<string, BucketLevel>();
  return {
    take: (name, rate) => {
      const nowMs = clock.monotonicMs();
      const { tokens } = refill(buckets.get(name) ?? { tokens: rate.burst, atMs: nowMs }, rate, nowMs);
      buckets.delete(name);
      buckets.set(name, { tokens: tokens < 1 ? tokens : tokens - 1, atMs: nowMs });
      if (buckets.size > MAX_NAMES) {
        const [oldest] = buckets.keys();
        if (oldest !== undefined) buckets.delete(oldest);
      }
      if (tokens >= 1) return;
      const { perSecond, burst } = rate;
      const retryAfterMs = Math.max(1000, ((1 - tokens) * 1000) / perSecond);
      throw new AppError("rate-limited", `too many requests; allowed: ${perSecond} a second, ${burst} at once`, {
        retryAfterMs,
      });
    },
    giveBack: (name, { burst }, tokens) => {
      const level = buckets.get(name);
      if (level !== undefined) buckets.set(name, { ...level, tokens: Math.min(burst, level.tokens + tokens) });
    },
  };
}
