import { describe, expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { clampTimerMs, MAX_TIMER_MS, systemClock } from "./clock.ts";

describe("timers", () => {
  test.each([
    [Number.NaN, 0],
    [-5, 0],
    [2 ** 31, MAX_TIMER_MS],
    [Number.POSITIVE_INFINITY, MAX_TIMER_MS],
    [250, 250],
  ])("a delay of %s ms becomes %s ms, which a timer can hold", (given, kept) => {
    expect(clampTimerMs(given)).toBe(kept);
  });
});

const fakeClock = createFakeClock();

describe.each([
  { name: "the system clock", clock: systemClock, pass: (ms: number) => systemClock.delay(ms) },
  { name: "the fake clock", clock: fakeClock, pass: (ms: number) => fakeClock.advance(ms) },
])("$name", ({ clock, pass }) => {
  test("rejects a delay with the reason of its signal, before and during the wait", async () => {
    const before = new AbortController();
    before.abort("early");
    await expect(clock.delay(1e6, before.signal)).rejects.toBe("early");
    const during = new AbortController();
    const waiting = clock.delay(1e6, during.signal);
    during.abort("late");
    await expect(waiting).rejects.toBe("late");
  });

  test("does not fire a cleared timer", async () => {
    let hasFired = false;
    clock
      .timer(1, () => {
        hasFired = true;
      })
      .clear();
    await pass(10);
    expect(hasFired).toBe(false);
  });
});

test("the fake clock fires timers in the order of their time and moves only the wall clock on a step", async () => {
  const clock = createFakeClock(0);
  const fired: string[] = [];
  clock.timer(20, () => fired.push("b"));
  clock.timer(10, () => fired.push("a"));
  clock.stepWall(3_600_000);
  expect(fired).toEqual([]);
  await clock.advance(20);
  expect(fired).toEqual(["a", "b"]);
  expect([clock.monotonicMs(), clock.wallMs()]).toEqual([20, 3_600_020]);
});
