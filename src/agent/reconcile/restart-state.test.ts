import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../base/random.ts";
import {
  afterFailure,
  afterHealthy,
  atLaunch,
  delayCeilingMs,
  FRESH_RESTART,
  LONGEST_DELAY_MS,
  RESTED,
} from "./restart-state.ts";

const always = (value: number) => () => value;
const backoff = { class: "network", retry: "backoff" } as const;

test("a start counts unless it is the first of its spec, or a wake", () => {
  const failed = { failures: 2, restarts: 4 };
  expect(atLaunch(failed, true)).toEqual({ failures: 2, restarts: 5 });
  expect(atLaunch(failed, false)).toEqual(FRESH_RESTART);
  expect(atLaunch(RESTED, true)).toEqual(FRESH_RESTART);
  expect(atLaunch(atLaunch(RESTED, true), true)).toEqual({ failures: 0, restarts: 1 });
});

describe("afterFailure", () => {
  test("waits 0.2 s, 1 s, then twice as long each time up to 60 s", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 1000].map(delayCeilingMs)).toEqual([
      200, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ]);
  });

  test("uses the full width of its ceiling", () => {
    expect(afterFailure({ failures: 3, restarts: 0 }, backoff, always(0)).delayMs).toBe(0);
    expect(afterFailure({ failures: 3, restarts: 0 }, backoff, always(0.5)).delayMs).toBe(2000);
  });

  test("goes straight to the long interval for what will fail the same way", () => {
    const long = { class: "bad-arguments", retry: "long" } as const;
    expect(afterFailure(FRESH_RESTART, long, always(0)).delayMs).toBe(30_000);
    expect(afterFailure(FRESH_RESTART, long, always(0.999)).delayMs).toBeLessThanOrEqual(LONGEST_DELAY_MS);
  });

  test("gives the other side the time that it needs", () => {
    const after = { class: "already-publishing", retry: "after", afterMs: 20_000 } as const;
    expect(afterFailure(FRESH_RESTART, after, always(0)).delayMs).toBe(20_000);
  });

  test("does not count as a failure what another still holds", () => {
    const after = { class: "camera-busy", retry: "after", afterMs: 10_000 } as const;
    expect(afterFailure({ failures: 2, restarts: 4 }, after, always(0)).state).toEqual({ failures: 2, restarts: 4 });
  });

  test("is never final and never a storm", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed);
        let state = FRESH_RESTART;
        let elapsedMs = 0;
        let starts = 0;
        while (elapsedMs < 600_000) {
          const next = afterFailure(state, backoff, random);
          state = next.state;
          elapsedMs += next.delayMs + 1;
          starts += 1;
        }
        // Ten minutes of a program that dies after a millisecond: half the ceiling on average, 60 s at the end.
        expect(starts).toBeLessThan(60);
        expect(starts).toBeGreaterThan(10);
      }),
      { numRuns: 50 },
    );
  });
});

describe("afterHealthy", () => {
  test("forgives after a minute of healthy media, not before", () => {
    const state = { failures: 7, restarts: 9 };
    expect(afterHealthy(state, 59_999)).toBe(state);
    expect(afterHealthy(state, 60_000)).toEqual({ failures: 0, restarts: 9 });
  });
});
