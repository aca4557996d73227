import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { AppError } from "../base/errors.ts";
import { createHeldLease } from "./held-lease.ts";
import { createMemoryStore } from "./store/memory/memory-store.ts";

function createHubs() {
  const clock = createFakeClock();
  const store = createMemoryStore({ newId: () => "id" });
  let asked = 0;
  let isAway = false;
  const leases = {
    ...store.leases,
    acquire: async (...given: Parameters<typeof store.leases.acquire>) => {
      asked++;
      if (isAway) throw new AppError("store-unavailable", "the store is away");
      return store.leases.acquire(...given);
    },
  };
  const hub = (hubId: string) =>
    createHeldLease({ name: "work", ttlMs: 6000, renewMs: 2000 }, { store: { ...store, leases }, clock, hubId });
  return {
    clock,
    hub,
    asked: () => asked,
    takeAway: (away: boolean) => {
      isAway = away;
    },
  };
}

test("one of two holds it, renews it when that is due, and the other has it when it is let go", async () => {
  const { clock, hub, asked } = createHubs();
  const [one, other] = [hub("one"), hub("other")];
  expect(await one.hold()).toEqual({ isHeld: true, isNew: true });
  expect(await other.hold()).toEqual({ isHeld: false, isNew: false });
  expect(await one.hold()).toEqual({ isHeld: true, isNew: false });
  expect(asked()).toBe(2);
  for (let round = 0; round < 5; round++) {
    await clock.advance(2000);
    expect(await one.hold()).toEqual({ isHeld: true, isNew: false });
    expect(await other.hold()).toEqual({ isHeld: false, isNew: false });
  }
  await one.release();
  expect(one.isHeld()).toBe(false);
  await clock.advance(2000);
  expect(await other.hold()).toEqual({ isHeld: true, isNew: true });
});

test("who has lost it to another and has it again is told so", async () => {
  const { clock, hub } = createHubs();
  const [one, other] = [hub("one"), hub("other")];
  await one.hold();
  await clock.advance(6000);
  await other.hold();
  expect(await one.hold()).toEqual({ isHeld: false, isNew: false });
  await other.release();
  await clock.advance(2000);
  expect(await one.hold()).toEqual({ isHeld: true, isNew: true });
});

test("a store that is away is asked again at the next call, and what was held is taken for held until it answers", async () => {
  const { clock, hub, asked, takeAway } = createHubs();
  const one = hub("one");
  await one.hold();
  await clock.advance(2000);
  takeAway(true);
  await expect(one.hold()).rejects.toThrow("the store is away");
  await expect(one.hold()).rejects.toThrow("the store is away");
  expect(one.isHeld()).toBe(true);
  takeAway(false);
  expect(await one.hold()).toEqual({ isHeld: true, isNew: false });
  expect(asked()).toBe(4);
});
