import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createAppliedResults } from "./applied-results.ts";

test("of each worker the last results are known, of no other one, and of one that is silent nothing is kept", async () => {
  const clock = createFakeClock();
  const applied = createAppliedResults({ clock });
  for (let at = 0; at < 5000; at++) applied.note("busy", `uid:0.${at}:1`);
  applied.note("other", "uid:0.1:1");
  const known = Array.from({ length: 5000 }, (_, at) => at).filter((at) => applied.has("busy", `uid:0.${at}:1`));
  expect([known.length, known[0]]).toEqual([64, 4936]);
  expect([applied.has("other", "uid:0.1:1"), applied.has("nobody", "uid:0.1:1")]).toEqual([true, false]);
  await clock.advance(3_000_000);
  applied.note("busy", "uid:0.1:2");
  await clock.advance(1_000_000);
  expect(applied.prune()).toBe(1);
  expect([applied.has("other", "uid:0.1:1"), applied.has("busy", "uid:0.1:2")]).toEqual([false, true]);
});
