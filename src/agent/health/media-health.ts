import type { MediaSample } from "../workload/driver.ts";

/**
 * Whether a workload does its work, judged from how its counters move. Pure.
 *
 * Invariants:
 * - only movement counts, never FFmpeg's own averages, which hide a collapse;
 * - time that this process slept or lagged through is not held against a workload: each tick counts for two periods at
 *   the most, whatever the clock says;
 * - an absent counter is unknown, not zero.
 */
export interface MediaHealth {
  /** Counted milliseconds since the start, or since the counters last moved. */
  readonly idleMs: number;
  /** Counted milliseconds of uninterrupted movement. */
  readonly healthyMs: number;
  /** Counted milliseconds at less than `SLOW_SPEED`. */
  readonly slowMs: number;
  readonly hasMoved: boolean;
  /** Oldest first; spans `RATE_WINDOW_MS`. */
  readonly window: readonly TimedSample[];
}

interface TimedSample {
  readonly atMs: number;
  readonly sample: MediaSample;
}

export interface HealthLimits {
  readonly startDeadlineMs: number;
  readonly stallMs: number;
  /** How often `observeMedia` is called. */
  readonly periodMs: number;
}

export interface HealthTick {
  /** Monotonic. */
  readonly nowMs: number;
  readonly elapsedMs: number;
  readonly sample: MediaSample | undefined;
  /** Since the program wrote the sample: programs report on a beat of their own. */
  readonly sampleAgeMs: number;
  /** State letter of `/proc/PID/stat`. */
  readonly processState: string | undefined;
}

/** Why a workload does not do its work, and whether a new process would help. */
export interface Finding {
  readonly cause: "connecting-timeout" | "stalled" | "stopped" | "encoder-slow";
  readonly message: string;
  readonly needsRestart: boolean;
}

export const NEW_HEALTH: MediaHealth = { idleMs: 0, healthyMs: 0, slowMs: 0, hasMoved: false, window: [] };

const RATE_WINDOW_MS = 5000;
/** Media seconds a second below which a live stream falls behind. */
const SLOW_SPEED = 0.95;
const SLOW_FOR_MS = 60_000;

export function observeMedia(
  health: MediaHealth,
  tick: HealthTick,
  limits: HealthLimits,
): { readonly health: MediaHealth; readonly finding: Finding | undefined } {
  const countedMs = Math.min(tick.elapsedMs, 2 * limits.periodMs);
  const last = health.window.at(-1)?.sample;
  const hasMoved = tick.sample !== undefined && isMovement(last, tick.sample);
  const window =
    tick.sample === undefined ? health.window : extendWindow(health.window, tick.nowMs - tick.sampleAgeMs, tick.sample);
  const speed = ratesOf(window).speed;
  const isSlow = hasMoved && speed !== undefined && speed < SLOW_SPEED;
  const next: MediaHealth = {
    idleMs: hasMoved ? 0 : health.idleMs + countedMs,
    healthyMs: hasMoved
      ? health.healthyMs + countedMs
      : health.idleMs + countedMs < 2 * limits.periodMs
        ? health.healthyMs
        : 0,
    slowMs: isSlow ? health.slowMs + countedMs : hasMoved ? 0 : health.slowMs,
    hasMoved: health.hasMoved || hasMoved,
    window,
  };
  return { health: next, finding: findingOf(next, tick, limits) };
}

function findingOf(health: MediaHealth, tick: HealthTick, limits: HealthLimits): Finding | undefined {
  const seconds = Math.round(health.idleMs / 1000);
  if (!health.hasMoved) {
    if (health.idleMs < limits.startDeadlineMs) return undefined;
    return { cause: "connecting-timeout", message: `no media ${seconds} s after the start`, needsRestart: true };
  }
  if (health.idleMs >= limits.stallMs) {
    if (tick.processState === "T" || tick.processState === "t") {
      return {
        cause: "stopped",
        message: `its process has been stopped by a signal for ${seconds} s`,
        needsRestart: true,
      };
    }
    return { cause: "stalled", message: `no media for ${seconds} s`, needsRestart: true };
  }
  if (health.slowMs >= SLOW_FOR_MS) {
    const speed = ratesOf(health.window).speed ?? 0;
    return {
      cause: "encoder-slow",
      message: `slower than real time (speed ${speed.toFixed(2)}); a restart would not help`,
      needsRestart: false,
    };
  }
  return undefined;
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
  const kept = firstInside <= 0 ? (firstInside === 0 ? window : window.slice(-1)) : window.slice(firstInside - 1);
  return [...kept, { atMs, sample }];
}

export interface MediaRates {
  readonly fps: number | undefined;
  readonly bitrateKbit: number | undefined;
  readonly speed: number | undefined;
}

/** Rates over the last five seconds, from the counters' differences. */
export function ratesOf(window: readonly TimedSample[]): MediaRates {
  const first = window[0];
  const last = window.at(-1);
  if (first === undefined || last === undefined || last.atMs <= first.atMs) {
    return { fps: undefined, bitrateKbit: undefined, speed: undefined };
  }
  const seconds = (last.atMs - first.atMs) / 1000;
  const per = (pick: (sample: MediaSample) => number | undefined): number | undefined => {
    const from = pick(first.sample);
    const to = pick(last.sample);
    return from === undefined || to === undefined || to < from ? undefined : (to - from) / seconds;
  };
  const bytesPerSecond = per((sample) => sample.totalBytes);
  const outTimePerSecond = per((sample) => sample.outTimeUs);
  return {
    fps: per((sample) => sample.frames),
    bitrateKbit: bytesPerSecond === undefined ? undefined : (bytesPerSecond * 8) / 1000,
    speed: outTimePerSecond === undefined ? undefined : outTimePerSecond / 1_000_000,
  };
}
