import { backoffCeilingMs, fullJitterMs } from "../../base/backoff.ts";
import type { Random } from "../../base/random.ts";

/** What a server may ask for with `retry:` or `Retry-After`; anything outside is pulled to the nearer end. */
export const SERVER_DELAY_MS = { min: 1_000, max: 300_000 } as const;
/** Full jitter may draw zero; no two attempts are closer than this. */
export const MIN_DELAY_MS = 250;
const MAX_BACKOFF_MS = 60_000;
const QUICK_MS = { min: MIN_DELAY_MS, max: 1_000 } as const;
const LONG_WAIT = { baseMs: 30_000, maxMs: 300_000 } as const;
const ASKED = { baseMs: 1_000, maxMs: MAX_BACKOFF_MS } as const;

export function clampServerDelayMs(ms: number): number {
  return Math.min(Math.max(ms, SERVER_DELAY_MS.min), SERVER_DELAY_MS.max);
}

/** After failure number `failures` (1 is the first): exponential with full jitter from `baseMs` to a minute. */
export function backoffDelayMs(failures: number, baseMs: number, random: Random): number {
  const options = { baseMs, maxMs: Math.max(MAX_BACKOFF_MS, baseMs) };
  return Math.max(MIN_DELAY_MS, fullJitterMs(Math.max(0, failures - 1), options, random));
}

/** After refusal number `refusals` (1 is the first): half to all of a ceiling that grows from 30 s to 5 min. */
export function longWaitMs(refusals: number, random: Random): number {
  return Math.round(backoffCeilingMs(refusals - 1, LONG_WAIT) * (0.5 + random() / 2));
}

/** A server that closes streams in turn, as some do to spread load, is dialled again at once, but not by all boxes together. */
export function quickDelayMs(random: Random): number {
  return Math.round(QUICK_MS.min + random() * (QUICK_MS.max - QUICK_MS.min));
}

/** After snapshot request number `asks` (1 is the first) without a snapshot in between. */
export function askedDelayMs(asks: number, random: Random): number {
  return asks <= 1 ? quickDelayMs(random) : Math.max(MIN_DELAY_MS, fullJitterMs(asks - 1, ASKED, random));
}

/** At least what the server asked for (clamped), spread by up to a tenth so that boxes do not come back together. */
export function atLeastAsked(ownMs: number, askedMs: number | undefined, random: Random): number {
  if (askedMs === undefined) return ownMs;
  const spreadMs = Math.round(clampServerDelayMs(askedMs) * (1 + random() / 10));
  return Math.max(ownMs, Math.min(spreadMs, SERVER_DELAY_MS.max));
}
