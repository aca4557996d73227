import { expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { createProgressWatch } from "./progress-watch.ts";

test("a loop is overdue once its promise and the grace have passed, and no longer when it advances", async () => {
  const clock = createFakeClock();
  const watch = createProgressWatch({ graceMs: 1000 }, { clock });
  const loop = watch.loop("monitor");
  loop.advance(500);
  await clock.advance(1500);
  expect(watch.overdue()).toEqual([]);
  await clock.advance(1);
  expect(watch.overdue()).toEqual([{ name: "monitor", silentMs: 1501, allowedMs: 1500 }]);
  loop.advance(500);
  expect(watch.overdue()).toEqual([]);
});

test("a loop that has not begun, or rests, is not waited for", async () => {
  const clock = createFakeClock();
  const watch = createProgressWatch({ graceMs: 0 }, { clock });
  watch.loop("never begun");
  const resting = watch.loop("resting");
  resting.advance(10);
  resting.rest();
  await clock.advance(60_000);
  expect(watch.overdue()).toEqual([]);
});

test("one loop that advances does not cover for another, and the latest comes first", async () => {
  const clock = createFakeClock();
  const watch = createProgressWatch({ graceMs: 0 }, { clock });
  watch.loop("late").advance(500);
  watch.loop("later").advance(100);
  const healthy = watch.loop("healthy");
  for (let tick = 0; tick < 10; tick++) {
    healthy.advance(100);
    await clock.advance(100);
  }
  expect(watch.overdue().map(({ name }) => name)).toEqual(["later", "late"]);
});
