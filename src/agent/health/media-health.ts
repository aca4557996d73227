import type { MediaSample } from "../workload/driver.ts";

/**
 * Whether a workload does its work, judged from how its counters move. Pure.
 *
 * Invariants:
 * - only movement counts, never FFmpeg's own averages, which hide a collapse;
 * - time that this process slept or lagged through is not held against a workload (`countedTime`);
 * - an absent counter is unknown, not zero.
 */
export interface MediaHealth {
  /** Counted milliseconds since the start, or since the counters last moved. */
  readonly idleMs: number;
  /** Counted milliseconds of uninterrupted movement. */
  readonly healthyMs: number;
  /** Counted milliseconds at less than `SLOW_SPEED`, short pauses in between included: a very slow encoder's bytes come in gusts. */
  readonly slowMs: number;
  readonly hasMoved: boolean;
  /** Oldest first; spans `RATE_WINDOW_MS`. */
  readonly window: readonly TimedSample[];
}

interface TimedSample {
  readonly atMs: number;
  readonly sample: MediaSample;
}

export interface HealthTick {
  /** Monotonic. */
  readonly nowMs: number;
  /** Since the last tick, as far as it may be held against a workload: see `countedTime`. */
  readonly countedMs: number;
  readonly sample: MediaSample | undefined;
  /** Since the program wrote the sample: programs report on a beat of their own. */
  readonly sampleAgeMs: number;
}

export const NEW_HEALTH: MediaHealth = { idleMs: 0, healthyMs: 0, slowMs: 0, hasMoved: false, window: [] };

const RATE_WINDOW_MS = 5000;
/** Media seconds a second below which a live stream falls behind. */
const SLOW_SPEED = 0.95;
/** A pause between two gusts of a slow encoder is no longer than this. */
const GUST_MS = 3000;
/** A pause shorter than this does not interrupt health: counters come twice a second, readings once. */
const PAUSE_MS = 2000;

/** A tick counts for two periods at the most, whatever the clock says: the rest is our own sleep or lag. */
export function countedTime(elapsedMs: number, periodMs: number): number {
  return Math.min(elapsedMs, 2 * periodMs);
}

export function observeMedia(health: MediaHealth, { nowMs, countedMs, sample, sampleAgeMs }: HealthTick): MediaHealth {
  const last = health.window.at(-1)?.sample;
  // Counters that are all unknown say nothing, for or against, about a workload that has worked.
  if (sample !== undefined && health.hasMoved && !isKnown(sample)) return health;
  const hasMoved = sample !== undefined && isMovement(last, sample);
  const window = sample === undefined ? health.window : extendWindow(health.window, nowMs - sampleAgeMs, sample);
  const speed = hasMoved ? speedOf(window) : undefined;
  const isSlow = speed !== undefined && speed < SLOW_SPEED;
  const idleMs = hasMoved ? 0 : health.idleMs + countedMs;
  return {
    idleMs,
    healthyMs: hasMoved ? health.healthyMs + countedMs : idleMs < PAUSE_MS ? health.healthyMs : 0,
    slowMs: isSlow ? health.slowMs + countedMs + pauseBetween(health) : speed === undefined ? health.slowMs : 0,
    hasMoved: health.hasMoved || hasMoved,
    window,
  };
}

/** The same of work that makes no media, and is proved or not at the moment. */
export function observeWork(health: MediaHealth, isWorking: boolean, countedMs: number): MediaHealth {
  return {
    idleMs: isWorking ? 0 : health.idleMs + countedMs,
    healthyMs: isWorking ? health.healthyMs + countedMs : 0,
    slowMs: 0,
    hasMoved: health.hasMoved || isWorking,
    window: [],
  };
}

/** Time without movement between two slow readings. Known to be that only once it is over: it may have been a stall. */
function pauseBetween({ slowMs, idleMs }: MediaHealth): number {
  return slowMs > 0 && idleMs <= GUST_MS ? idleMs : 0;
}

function isKnown({ frames, outTimeUs, totalBytes }: MediaSample): boolean {
  return frames !== undefined || outTimeUs !== undefined || totalBytes !== undefined;
}

/**
 * Bytes written are the best witness; where the output cannot count them (segments, HLS), media time or frames are.
 * The first sample counts as movement once anything was produced.
 */
function isMovement(last: MediaSample | undefined, next: MediaSample): boolean {
  if (last === undefined) return (next.totalBytes ?? 0) > 0 || (next.outTimeUs ?? 0) > 0 || (next.frames ?? 0) > 1;
  if (last.totalBytes !== undefined && next.totalBytes !== undefined) return next.totalBytes > last.totalBytes;
  return (next.outTimeUs ?? 0) > (last.outTimeUs ?? 0) || (next.frames ?? 0) > (last.frames ?? 0);
}

function extendWindow(window: readonly TimedSample[], atMs: number, sample: MediaSample): readonly TimedSample[] {
  // One sample older than the window stays, so that a rate always spans all of it.
  const firstInside = window.findIndex((entry) => entry.atMs >= atMs - RATE_WINDOW_MS);
  const kept = window.slice(firstInside < 0 ? -1 : Math.max(0, firstInside - 1));
  kept.push({ atMs, sample });
  return kept;
}

export interface MediaRates {
  readonly fps: number | undefined;
  readonly bitrateKbit: number | undefined;
  readonly speed: number | undefined;
}

/** Rates over the last five seconds, from the counters' differences. */
export function ratesOf(window: readonly TimedSample[]): MediaRates {
  const bytesPerSecond = perSecond(window, "totalBytes");
  return {
    fps: perSecond(window, "frames"),
    bitrateKbit: bytesPerSecond === undefined ? undefined : (bytesPerSecond * 8) / 1000,
    speed: speedOf(window),
  };
}

function speedOf(window: readonly TimedSample[]): number | undefined {
  const outTimePerSecond = perSecond(window, "outTimeUs");
  return outTimePerSecond === undefined ? undefined : outTimePerSecond / 1_000_000;
}

function perSecond(window: readonly TimedSample[], counter: "frames" | "totalBytes" | "outTimeUs"): number | undefined {
  // The first readings of a process do not know its media time yet.
  const first = window.find(({ sample }) => sample[counter] !== undefined);
  const last = window.at(-1);
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
  const from = first.sample[counter];
  const to = last.sample[counter];
  return from === undefined || to === undefined || to < from
    ? undefined
    : (to - from) / ((last.atMs - first.atMs) / 1000);
}
