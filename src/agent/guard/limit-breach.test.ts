import { expect, test } from "vitest";
import { breachOf, NO_USE, observeUse, type UseReading } from "./limit-breach.ts";

const MIB = 2 ** 20;
const LIMITS = { memoryBytes: 100 * MIB, cpuCores: 0.5 };

function after(readings: readonly Omit<UseReading, "countedMs">[], limits = LIMITS) {
  let use = NO_USE;
  for (const reading of readings) use = observeUse(use, { ...reading, countedMs: 1000 }, limits);
  return breachOf(use, { ...(readings.at(-1) ?? { rssBytes: 0, cpuShare: 0 }), countedMs: 1000 }, limits);
}
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);
const fat = { rssBytes: 120 * MIB, cpuShare: 0.1 };
const slim = { rssBytes: 80 * MIB, cpuShare: 0.1 };
const busy = { rssBytes: 80 * MIB, cpuShare: 0.9 };

test("memory above the limit for four seconds is a breach that names both", () => {
  expect(after(times(3, fat))).toBeUndefined();
  expect(after(times(4, fat))).toEqual({
    cause: "over-memory",
    message: "it holds 120 MiB of memory, its limit is 100 MiB",
    needsRestart: true,
  });
});

test("peaks are none: one look below the limit begins anew", () => {
  expect(after([...times(3, fat), slim, ...times(3, fat)])).toBeUndefined();
});

test("processor time counts over half a minute, with a tenth of tolerance", () => {
  expect(after(times(29, busy))).toBeUndefined();
  expect(after(times(30, busy))?.cause).toBe("over-cpu");
  expect(after(times(60, { rssBytes: 0, cpuShare: 0.54 }))).toBeUndefined();
});

test.each([
  ["without limits", times(100, { rssBytes: 9e12, cpuShare: 64 }), {}],
  ["where nothing could be read", times(100, { rssBytes: undefined, cpuShare: undefined }), LIMITS],
])("%s nothing is a breach", (_, readings, limits) => {
  let use = NO_USE;
  for (const reading of readings) use = observeUse(use, { ...reading, countedMs: 1000 }, limits);
  expect(use).toEqual(NO_USE);
});
