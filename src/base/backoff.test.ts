import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffCeilingMs, fullJitterMs } from "./backoff.ts";

const OPTIONS = { baseMs: 5000, maxMs: 60_000 };

test("the ceiling doubles up to its limit", () => {
  expect([0, 1, 2, 3, 4, 5, 1e9].map((attempt) => backoffCeilingMs(attempt, OPTIONS))).toEqual([
    5000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000,
  ]);
});

test("a delay lies between nothing and the ceiling, whatever the attempt", () => {
  fc.assert(
    fc.property(fc.integer(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, chance) => {
      const delayMs = fullJitterMs(attempt, OPTIONS, () => chance);
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThanOrEqual(60_000);
    }),
  );
});
