import { getEventListeners } from "node:events";
import { queryObjects } from "node:v8";
import { expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { AppError } from "./errors.ts";
import { createWake } from "./wake.ts";

const never = () => new AbortController().signal;

/** Those that are held by something. */
const livePromises = () => queryObjects(Promise, { format: "count" });

test("a ring ends all that wait, and is not kept for who waits later", async () => {
  const clock = createFakeClock();
  const wake = createWake({ clock });
  let woken = 0;
  const wait = () => void wake.wait(1000, never()).then(() => woken++);
  wait();
  wait();
  wake.ring();
  await clock.advance(0);
  expect(woken).toBe(2);
  wait();
  await clock.advance(999);
  expect(woken).toBe(2);
  await clock.advance(1);
  expect(woken).toBe(3);
});

test("a wait ends with its signal's reason, and one that begins after that at once", async () => {
  const wake = createWake({ clock: createFakeClock() });
  const life = new AbortController();
  const waiting = wake.wait(1000, life.signal);
  life.abort(new AppError("cancelled", "enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(wake.wait(1000, life.signal)).rejects.toThrow("enough");
});

test("waits for which nobody rings leave nothing behind, however many they are", async () => {
  let timers = 0;
  const timer = (_ms: number, fire: () => void) => {
    timers++;
    queueMicrotask(fire);
    return { clear: () => void timers-- };
  };
  const wake = createWake({ clock: { timer } });
  const life = new AbortController();
  const waitOn = async (times: number) => {
    for (let time = 0; time < times; time++) await wake.wait(1, life.signal);
  };
  await waitOn(20);
  const before = livePromises();
  await waitOn(1000);
  expect(livePromises() - before).toBeLessThan(100);
  expect(timers).toBe(0);
  expect(getEventListeners(life.signal, "abort")).toEqual([]);
});
