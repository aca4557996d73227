import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createServerClock } from "./server-clock.ts";

test("a box whose clock stands in 1970 knows the time of its server, and is never behind it", async () => {
  const clock = createFakeClock(0);
  const server = createServerClock(clock);
  expect(server.nowMs()).toBe(0);
  const askedAtMs = clock.monotonicMs();
  const answeredMs = Date.parse("2026-01-15T10:30:45.700Z");
  await clock.advance(300);
  server.heard(Date.parse("2026-01-15T10:30:45Z"), askedAtMs);
  // 300 ms of the answer's way at most, and less than a second of `Date`'s coarseness.
  expect(server.nowMs()).toBeGreaterThanOrEqual(answeredMs + 300 - 1);
  expect(server.nowMs()).toBeLessThan(answeredMs + 1300);
  const before = server.nowMs();
  clock.stepWall(1e9);
  await clock.advance(5000);
  expect(server.nowMs()).toBe(before + 5000);
});
