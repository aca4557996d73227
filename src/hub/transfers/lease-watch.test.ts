import { expect, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { createLeaseWatch, LEASE_TTL_MS } from "./lease-watch.ts";

const [ID, WORKER, TTL_MS] = ["uid-0001:0.0:1", "dst-1", LEASE_TTL_MS.full];

test("after a while in which nobody could be heard, what was heard before it has its whole time once more, and no more than that", async () => {
  const clock = createFakeClock();
  const watch = createLeaseWatch({ clock }, () => undefined);
  watch.granted(ID, WORKER, TTL_MS);
  await clock.advance(25_000);
  expect(watch.isLive(ID, WORKER, TTL_MS)).toBe(false);
  watch.excuse();
  await clock.advance(TTL_MS);
  expect(watch.isLive(ID, WORKER, TTL_MS)).toBe(true);
  await clock.advance(1);
  expect(watch.isLive(ID, WORKER, TTL_MS)).toBe(false);
  // A store that goes and comes all the time keeps nobody alive who is gone.
  let livedMs = 0;
  for (let round = 0; round < 30; round++) {
    watch.excuse();
    await clock.advance(5000);
    if (watch.isLive(ID, WORKER, TTL_MS)) livedMs += 5000;
  }
  expect(livedMs).toBeLessThan(60_000);
  watch.heard(WORKER, { lease_id: ID, attempt: 1, transferred_bytes: 5, rate: 1 });
  expect(watch.of("uid-0001")).toMatchObject([{ id: ID, bytes: 5 }]);
});
