import type { Random } from "./random.ts";

export interface BackoffOptions {
  /** Ceiling of the first delay. */
  readonly baseMs: number;
  /** Ceiling that growth stops at. */
  readonly maxMs: number;
}

/** The ceiling of the delay before attempt `attempt` (0 is the first retry): doubles, then stays at `maxMs`. */
export function backoffCeilingMs(attempt: number, options: BackoffOptions): number {
  return Math.min(options.maxMs, options.baseMs * 2 ** Math.min(Math.max(attempt, 0), 52));
}

/**
 * Exponential back-off with full jitter: anywhere between zero and the ceiling, so that boxes cut off together do not
 * come back together.
 */
export function fullJitterMs(attempt: number, options: BackoffOptions, random: Random): number {
  return Math.round(random() * backoffCeilingMs(attempt, options));
}
