import { expect, test } from "vitest";
import { createFlightGovernor, FLIGHT_LIMITS } from "./flight-governor.ts";

const FRAME_BYTES = 16 * 1024;

interface LinkFacts {
  readonly bytesPerMs: number;
  readonly rttMs: number;
  /** Acknowledgements come in bursts this far apart, as a busy machine sends them. */
  readonly burstMs?: number;
}

/** A link with one queue, in time that only this loop moves; a sender that always has more. */
function runLink(
  { bytesPerMs, rttMs, burstMs = 1 }: LinkFacts,
  forMs: number,
  governor = createFlightGovernor(),
  fromMs = 0,
) {
  const arrivals: { readonly atMs: number; readonly bytes: number }[] = [];
  let freeMs = fromMs;
  let unacked = 0;
  let delivered = 0;
  let worstQueueMs = 0;
  for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs++) {
    while (nowMs % burstMs === 0 && arrivals[0] !== undefined && arrivals[0].atMs <= nowMs) {
      const { bytes } = arrivals.shift() ?? { bytes: 0 };
      unacked -= bytes;
      delivered += bytes;
      governor.acknowledged(bytes, nowMs);
    }
    while (unacked + FRAME_BYTES <= governor.capBytes) {
      governor.sent(FRAME_BYTES, nowMs);
      unacked += FRAME_BYTES;
      freeMs = Math.max(freeMs, nowMs) + FRAME_BYTES / bytesPerMs;
      arrivals.push({ atMs: freeMs + rttMs, bytes: FRAME_BYTES });
    }
    // After it has found out what the link can do.
    if (nowMs > fromMs + forMs / 2) worstQueueMs = Math.max(worstQueueMs, freeMs - nowMs);
  }
  return { use: delivered / (bytesPerMs * (forMs - rttMs)), worstQueueMs, governor };
}

test("a slow link is filled, and what is typed beside waits no more than 60 ms", () => {
  const { use, worstQueueMs } = runLink({ bytesPerMs: 2500, rttMs: 20 }, 10_000);
  expect(use).toBeGreaterThan(0.9);
  expect(worstQueueMs).toBeLessThan(60);
});

test.each([
  { bytesPerMs: 50_000, rttMs: 100 },
  { bytesPerMs: 12_500, rttMs: 50 },
])("a long and wide link ($bytesPerMs bytes a ms, $rttMs ms) is filled within a few seconds", (link) => {
  expect(runLink(link, 8000).use).toBeGreaterThan(0.85);
});

test("a link that has become slower is not flooded for long", () => {
  const { governor } = runLink({ bytesPerMs: 50_000, rttMs: 20 }, 5000);
  const { worstQueueMs } = runLink({ bytesPerMs: 500, rttMs: 20 }, 40_000, governor, 6000);
  expect(governor.capBytes).toBeLessThan(3 * FLIGHT_LIMITS.minBytes);
  expect(governor.frameBytes).toBeLessThan(6000);
  expect(worstQueueMs).toBeLessThan(300);
});

test("a machine that answers late and in bursts is not taken for a slow link", () => {
  expect(runLink({ bytesPerMs: 20_000, rttMs: 2, burstMs: 90 }, 10_000).use).toBeGreaterThan(0.7);
});

test("before anything is known little goes, and a new carrier is unknown again", () => {
  const governor = createFlightGovernor();
  expect(governor.capBytes).toBe(FLIGHT_LIMITS.firstBytes);
  runLink({ bytesPerMs: 50_000, rttMs: 20 }, 2000, governor);
  expect(governor.capBytes).toBeGreaterThan(FLIGHT_LIMITS.firstBytes);
  governor.restart();
  expect(governor.capBytes).toBe(FLIGHT_LIMITS.firstBytes);
});
