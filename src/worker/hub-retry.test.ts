import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { createHubRetry } from "./hub-retry.ts";

const LONGEST_MS = 15_200;

function begin() {
  const clock = createFakeClock();
  const retry = createHubRetry({ clock, random: () => 1 });
  const life = new AbortController();
  const seen = { isOver: false };
  const pause = (attempt: number) => {
    seen.isOver = false;
    void retry.pause(attempt, life.signal).then(() => {
      seen.isOver = true;
    });
  };
  return { clock, retry, life, seen, pause };
}

test("who asks a hub that is away in vain waits longer and longer, and never longer than a quarter of a minute", async () => {
  const { clock, seen, pause } = begin();
  for (const [attempt, ms] of [
    [0, 700],
    [1, 1200],
    [4, 8200],
    [50, LONGEST_MS],
  ] as const) {
    pause(attempt);
    await clock.advance(ms - 1);
    expect(seen.isOver).toBe(false);
    await clock.advance(1);
    expect(seen.isOver).toBe(true);
  }
});

test("a hub that takes a heartbeat again ends the wait, however long that was to be", async () => {
  const { clock, retry, seen, pause } = begin();
  pause(50);
  await clock.advance(1000);
  expect(seen.isOver).toBe(false);
  retry.answered();
  await clock.advance(0);
  expect(seen.isOver).toBe(true);
});

test("a hub that takes heartbeats and nothing else is not asked without a pause", async () => {
  const { clock, retry, seen, pause } = begin();
  pause(0);
  retry.answered();
  await clock.advance(199);
  expect(seen.isOver).toBe(false);
});

test("the end of its worker ends the wait", async () => {
  for (const ms of [100, 1000]) {
    const { clock, life, seen, pause } = begin();
    pause(50);
    await clock.advance(ms);
    life.abort();
    await clock.advance(0);
    expect(seen.isOver).toBe(true);
    expect(clock.pending()).toBe(0);
  }
});
