import { expect, it } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { WINDOW_BYTES } from "./frames.ts";
import { bothPaces, createPace } from "./pace.ts";

const MIB = 1024 * 1024;
const PIECE = 512 * 1024;

/** What so many who share a pace take in these seconds, piece by piece. */
async function takenIn(seconds: number, takers: number, rate: () => number | undefined): Promise<readonly number[]> {
  const clock = createFakeClock();
  const pace = createPace(rate, clock);
  const stop = new AbortController();
  const taken = Array.from({ length: takers }, () => 0);
  const running = taken.map(async (_, index) => {
    for (;;) {
      await pace.take(PIECE, stop.signal);
      taken[index] = (taken[index] ?? 0) + PIECE;
    }
  });
  // What may go at once after a quiet time is not what is measured.
  await clock.advance(1000);
  const before = [...taken];
  for (let second = 0; second < seconds; second++) await clock.advance(1000);
  const after = [...taken];
  stop.abort(new DOMException("enough", "AbortError"));
  await Promise.allSettled(running);
  return after.map((bytes, index) => bytes - (before[index] ?? 0));
}
const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);

it.each([
  [1, 1],
  [10, 1],
  [100, 1],
  [10, 2],
  [10, 8],
  [100, 4],
  [1000, 4],
])("%i MiB/s, shared by %i, are that within a twentieth over 10 s", async (mib, takers) => {
  const taken = await takenIn(10, takers, () => mib * MIB);
  expect(Math.abs(sum(taken) / (10 * mib * MIB) - 1)).toBeLessThan(0.05);
  // Each has the same.
  expect(Math.max(...taken) - Math.min(...taken)).toBeLessThanOrEqual(PIECE);
});

it("a rate that changes on the way is the rate from then on", async () => {
  let rate = 1;
  const first = await takenIn(10, 1, () => rate * MIB);
  rate = 20;
  const second = await takenIn(10, 1, () => rate * MIB);
  let asked = 0;
  // From 1 to 20 in the middle of it.
  const third = await takenIn(20, 1, () => (asked++ < 300 ? 1 : 20) * MIB);
  expect(sum(second) / sum(first)).toBeCloseTo(20, -1);
  expect(sum(third)).toBeGreaterThan(sum(second));
});

it("who gives up while it waits holds nobody up, and hears why", async () => {
  const clock = createFakeClock();
  const pace = createPace(() => MIB, clock);
  const stop = new AbortController();
  const never = new AbortController().signal;
  await pace.take(4 * MIB, never);
  const order: string[] = [];
  const first = pace.take(1, never).then(() => order.push("first"));
  const second = pace.take(1, stop.signal).catch((reason: Error) => order.push(reason.message));
  const third = pace.take(1, never).then(() => order.push("third"));
  stop.abort(new Error("enough"));
  await second;
  expect(order).toEqual(["enough"]);
  await clock.advance(5000);
  await Promise.all([first, third]);
  expect(order).toEqual(["enough", "first", "third"]);
});

it("each connection may have its share of half a second under way, by the rate and the number of them now", () => {
  let rate: number | undefined = 4e6;
  const pace = createPace(() => rate, createFakeClock());
  const [first, second] = [pace.join(), pace.join()];
  expect([first.windowBytes(), second.windowBytes()]).toEqual([1e6, 1e6]);
  second.leave();
  second.leave();
  expect(first.windowBytes()).toBe(2e6);
  rate = undefined;
  expect(first.windowBytes()).toBe(WINDOW_BYTES);
});

it("where two rates hold, both are kept, and the narrower window of the two", async () => {
  const clock = createFakeClock();
  const [request, worker] = [4e6, 1e6].map((rate) => createPace(() => rate, clock));
  if (request === undefined || worker === undefined) throw new TypeError("no paces");
  const pace = bothPaces(request, worker);
  const share = pace.join();
  expect(share.windowBytes()).toBe(500_000);
  const others = Array.from({ length: 9 }, () => request.join());
  expect(share.windowBytes()).toBe(200_000);
  for (const other of others) other.leave();
  share.leave();
  expect([request.join().windowBytes(), worker.join().windowBytes()]).toEqual([2e6, 500_000]);
  let taken = 0;
  const never = new AbortController().signal;
  const taking = (async () => {
    while (taken < 4e6) {
      await pace.take(100_000, never);
      taken += 100_000;
    }
  })();
  await clock.advance(2000);
  expect(taken).toBeGreaterThan(1.9e6);
  expect(taken).toBeLessThan(2.3e6);
  await clock.advance(3000);
  await taking;
  // Whichever of them is the slower one.
  const [slow, fast] = [createPace(() => 1e6, clock), createPace(() => 4e6, clock)];
  let passed = 0;
  const passing = (async () => {
    while (passed < 2e6) {
      await bothPaces(slow, fast).take(100_000, never);
      passed += 100_000;
    }
  })();
  await clock.advance(1000);
  expect(passed).toBeLessThan(1.3e6);
  await clock.advance(2000);
  await passing;
});

it("a rate that changes forgives nothing that was taken before, and gives nothing at once", async () => {
  const clock = createFakeClock();
  let rate = 1e6;
  const pace = createPace(() => rate, clock);
  const never = new AbortController().signal;
  await pace.take(4e6, never);
  expect(pace.isRested()).toBe(false);
  let isThrough = false;
  const waiting = pace.take(1, never).then(() => {
    isThrough = true;
  });
  for (let times = 0; times < 35; times++) {
    rate = times % 2 === 0 ? 1.01e6 : 1e6;
    await clock.advance(100);
    expect(isThrough).toBe(false);
  }
  rate = 1e6;
  await clock.advance(1000);
  await waiting;
  await clock.advance(200);
  expect(pace.isRested()).toBe(true);
});
