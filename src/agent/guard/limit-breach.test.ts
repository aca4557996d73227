import { expect, test } from "vitest";
import { breachOf, NO_USE, observeUse } from "./limit-breach.ts";
import type { Limits } from "./limits.ts";

const MIB = 2 ** 20;
const LIMITS = { memoryBytes: 100 * MIB, cpuCores: 0.5 };

/** One reading every two seconds. */
function after(cores: number, mebibytes: readonly number[], limits: Limits = LIMITS) {
  let use = NO_USE;
  for (const [index, size] of mebibytes.entries()) {
    const cpuTicks = Math.round(index * 2 * 100 * cores);
    use = observeUse(use, { rssBytes: size * MIB, cpuTicks, elapsedMs: 2000 }, limits);
  }
  return breachOf(use, limits);
}
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

test("memory above the limit in three readings is a breach that names both", () => {
  expect(after(0.1, [120, 120])).toBeUndefined();
  expect(after(0.1, [120, 121, 122])).toEqual({
    cause: "over-memory",
    message: "it holds 122 MiB of memory, its limit is 100 MiB",
    needsRestart: true,
  });
});

test("peaks are none: one reading below the limit begins anew", () => {
  expect(after(0.1, [120, 120, 80, 120, 120])).toBeUndefined();
});

test("processor time counts over half a minute, with a tenth of tolerance", () => {
  expect(after(0.9, times(15, 80))).toBeUndefined();
  expect(after(0.9, times(16, 80))).toMatchObject({
    cause: "over-cpu",
    message: "it has used 0.90 cores for 30 s, its limit is 0.5",
  });
  expect(after(0.54, times(60, 80))).toBeUndefined();
});

test("without limits nothing is a breach", () => {
  expect(after(64, times(100, 9e6), {})).toBeUndefined();
});

test("time that nobody watched counts for little", () => {
  const reading = { rssBytes: 120 * MIB, cpuTicks: 0, elapsedMs: 3_600_000 };
  expect(breachOf(observeUse(NO_USE, reading, LIMITS), LIMITS)).toBeUndefined();
});
