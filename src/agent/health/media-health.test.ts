import { describe, expect, test } from "vitest";
import type { MediaSample } from "../workload/driver.ts";
import { diagnose, type HealthLimits } from "./diagnose.ts";
import type { Finding } from "./finding.ts";
import { countedTime, type MediaHealth, NEW_HEALTH, observeMedia, ratesOf } from "./media-health.ts";
import { NEW_PROCESS } from "./process-health.ts";
import { NO_SOCKETS } from "./socket-health.ts";

const LIMITS: HealthLimits = {
  startDeadlineMs: 20_000,
  stallMs: 7000,
  sourceStallMs: 7000,
  periodMs: 1000,
  hasFollowers: false,
  writesFilesOnly: false,
};

const sampleAt = (seconds: number, extra: Partial<MediaSample> = {}): MediaSample => ({
  frames: Math.round(seconds * 25),
  outTimeUs: Math.round(seconds * 1_000_000),
  totalBytes: Math.round(seconds * 50_000),
  droppedFrames: 0,
  isEnded: false,
  ...extra,
});

interface Run {
  health: MediaHealth;
  nowMs: number;
  findings: (Finding | undefined)[];
}

function run(from: Run, ticks: readonly (MediaSample | undefined)[], options: { elapsedMs?: number } = {}): Run {
  return ticks.reduce<Run>((state, sample) => {
    const elapsedMs = options.elapsedMs ?? LIMITS.periodMs;
    const nowMs = state.nowMs + elapsedMs;
    const countedMs = countedTime(elapsedMs, LIMITS.periodMs);
    const health = observeMedia(state.health, { nowMs, countedMs, sample, sampleAgeMs: 0 });
    const finding = diagnose({ media: health, sockets: NO_SOCKETS, process: NEW_PROCESS }, LIMITS);
    return { health, nowMs, findings: [...state.findings, finding] };
  }, from);
}

const start = (): Run => ({ health: NEW_HEALTH, nowMs: 0, findings: [] });
const seconds = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const flowing = (from: number, to: number) => seconds(from, to).map((second) => sampleAt(second));
const repeat = <T>(value: T, times: number): T[] => Array.from({ length: times }, () => value);

describe("observeMedia", () => {
  test("finds nothing wrong while counters move", () => {
    const { findings, health } = run(start(), flowing(1, 120));
    expect(findings.every((finding) => finding === undefined)).toBe(true);
    expect(health.healthyMs).toBeGreaterThanOrEqual(60_000);
  });

  test("finds a stall within ten seconds after ten hours of health, whatever the averages say", () => {
    const before = run(start(), flowing(35_990, 36_000));
    const { findings } = run({ ...before, findings: [] }, repeat(sampleAt(35_999), 10));
    expect(findings[5]).toBeUndefined();
    expect(findings[6]).toMatchObject({ cause: "source-stalled", needsRestart: true });
  });

  test("gives a start its own deadline", () => {
    const { findings } = run(start(), repeat(undefined, 21));
    expect(findings.slice(0, 19).every((finding) => finding === undefined)).toBe(true);
    expect(findings[19]).toMatchObject({ cause: "connecting-timeout", needsRestart: true });
  });

  test("does not take a header or `N/A` for media", () => {
    const silent = sampleAt(0, { totalBytes: undefined, outTimeUs: undefined, frames: 0 });
    const { health, findings } = run(start(), repeat(silent, 20));
    expect(health.hasMoved).toBe(false);
    expect(findings.at(-1)).toMatchObject({ cause: "connecting-timeout" });
  });

  test("judges by media time where bytes cannot be counted", () => {
    const segments = seconds(1, 30).map((second) => sampleAt(second, { totalBytes: undefined }));
    expect(run(start(), segments).findings.every((finding) => finding === undefined)).toBe(true);
  });

  test("believes bytes over media time: progress goes on while the muxer is stuck", () => {
    const stuck = seconds(10, 20).map((second) => sampleAt(second, { totalBytes: 450_000 }));
    expect(run(run(start(), flowing(1, 10)), stuck).findings.at(-1)).toMatchObject({ cause: "source-stalled" });
  });

  test("holds no time against a workload in which this process did not run", () => {
    const before = run(start(), flowing(1, 30));
    const { findings } = run(before, [sampleAt(29)], { elapsedMs: 3_600_000 });
    expect(findings.at(-1)).toBeUndefined();
  });

  test("takes counters that are all unknown for no news, once media has flowed", () => {
    const unknown = sampleAt(0, { totalBytes: undefined, outTimeUs: undefined, frames: undefined });
    const { findings } = run(run(start(), flowing(1, 10)), repeat(unknown, 30));
    expect(findings.every((finding) => finding === undefined)).toBe(true);
  });

  test("reports an encoder that falls behind for seconds and does not restart it", () => {
    const slow = seconds(1, 75).map((second) => sampleAt(second * 0.7));
    const { findings } = run(start(), slow);
    expect(findings[5]).toBeUndefined();
    expect(findings[9]).toMatchObject({ cause: "encoder-slow", needsRestart: false });
    expect(findings.at(-1)).toMatchObject({ cause: "encoder-slow", needsRestart: false });
  });

  test("waits a minute before it calls a stream slow that is only a little behind", () => {
    const { findings } = run(
      start(),
      seconds(1, 75).map((second) => sampleAt(second * 0.9)),
    );
    expect(findings[30]).toBeUndefined();
    expect(findings.at(-1)).toMatchObject({ cause: "encoder-slow", needsRestart: false });
  });

  test("copes with counters that wrap or start again", () => {
    const before = run(start(), flowing(1, 10));
    const again = run(before, flowing(1, 20));
    expect(again.findings.at(-1)).toBeUndefined();
    expect(ratesOf(again.health.window).fps).toBeCloseTo(25, 0);
  });
});

describe("ratesOf", () => {
  test("gives the last five seconds, not the average since the start", () => {
    const before = run(start(), flowing(1, 100));
    const half = seconds(1, 11).map((second) => sampleAt(99 + second / 2));
    const { health } = run(before, half);
    const rates = ratesOf(health.window);
    expect(rates.speed).toBeCloseTo(0.5, 1);
    expect(rates.bitrateKbit).toBeCloseTo(200, -1);
  });

  test("is exact although the program reports on another beat than we look", () => {
    const beatMs = 510;
    let health = NEW_HEALTH;
    for (let nowMs = 1000; nowMs <= 120_000; nowMs += 1000) {
      const writtenMs = Math.floor(nowMs / beatMs) * beatMs;
      const tick = { nowMs, countedMs: 1000, sampleAgeMs: nowMs - writtenMs };
      health = observeMedia(health, { ...tick, sample: sampleAt(writtenMs / 1000) });
      if (nowMs > 10_000) expect(ratesOf(health.window).speed).toBeCloseTo(1, 2);
    }
  });

  test("knows nothing from one sample", () => {
    expect(ratesOf(run(start(), [sampleAt(1)]).health.window)).toEqual({
      fps: undefined,
      bitrateKbit: undefined,
      speed: undefined,
    });
  });
});

test("an encoder so slow that its bytes come only every third second is named as soon as any other", () => {
  // A twentieth of real time: the counters move, then stand still for two readings.
  const gusts = Array.from({ length: 12 }, (_, index) => sampleAt(1 + Math.floor(index / 3) * 0.15));
  const { findings } = run({ health: NEW_HEALTH, nowMs: 0, findings: [] }, gusts);
  const namedAt = findings.findIndex((finding) => finding !== undefined);
  expect(findings[namedAt]).toMatchObject({ cause: "encoder-slow", needsRestart: false });
  expect(namedAt).toBeLessThanOrEqual(9);
});

test("a stream that was slow at its start and is then stopped is not called slow", () => {
  const slowStart = [0.3, 0.5, 0.7, 0.9].map((seconds) => sampleAt(seconds));
  const stopped = Array.from({ length: 6 }, () => sampleAt(0.9));
  const { findings } = run({ health: NEW_HEALTH, nowMs: 0, findings: [] }, [...slowStart, ...stopped]);
  expect(findings.every((finding) => finding === undefined)).toBe(true);
});

test("an encoder whose first readings do not know its media time is named as soon as any other", () => {
  const unknown = [0.01, 0.02].map((seconds) => sampleAt(seconds, { outTimeUs: undefined }));
  const known = Array.from({ length: 10 }, (_, index) => sampleAt(0.1 + index * 0.2));
  const { findings } = run({ health: NEW_HEALTH, nowMs: 0, findings: [] }, [...unknown, ...known]);
  expect(findings.findIndex((finding) => finding?.cause === "encoder-slow")).toBeLessThanOrEqual(8);
});
