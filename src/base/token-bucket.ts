/** So many at once after a quiet time, and so many a second from then on. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What a bucket held at a monotonic time. */
export interface BucketLevel {
  readonly tokens: number;
  readonly atMs: number;
}

/** Pure. What it holds now; a clock that went back brings nothing. */
export function refill({ tokens, atMs }: BucketLevel, { perSecond, burst }: Rate, nowMs: number): BucketLevel {
  return { tokens: Math.min(burst, tokens + (Math.max(0, nowMs - atMs) / 1000) * perSecond), atMs: nowMs };
}

export interface TokenBucket {
  /** Whole tokens that are there now; never below zero. */
  left(nowMs: number): number;
  /** More than is left may be spent; then there is none until that has come in. */
  spend(tokens: number): void;
}

/** Full at first. */
export function createTokenBucket(rate: Rate): TokenBucket {
  // Nothing comes in before the first look.
  let level: BucketLevel = { tokens: rate.burst, atMs: Number.POSITIVE_INFINITY };
  return {
    left: (nowMs) => {
      level = refill(level, rate, nowMs);
      return Math.max(0, Math.floor(level.tokens));
    },
    spend: (tokens) => {
      level = { ...level, tokens: level.tokens - tokens };
    },
  };
}
