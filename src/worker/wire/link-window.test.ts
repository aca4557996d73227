import { describe, expect, it, test } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { FRAME_HEAD_BYTES, PACK_BYTES, WINDOW_BYTES } from "./frames.ts";
import { createLinkWindow, windowFor } from "./link-window.ts";
import { createPace } from "./pace.ts";

const MIB = 1024 * 1024;
const FRAME_BYTES = FRAME_HEAD_BYTES + PACK_BYTES;

test.each([
  ["as fast as it goes", undefined, 8, WINDOW_BYTES],
  ["1 MB/s", 1e6, 1, 500_000],
  ["1 MB/s of four", 1e6, 4, 125_000],
  ["1 MB/s, before anybody has joined", 1e6, 0, 500_000],
  ["100 MB/s", 100e6, 4, WINDOW_BYTES],
  ["a byte in ten seconds", 0.1, 4, 1],
] as const)("what a rate moves in half a second may be under way: %s", (_, rate, connections, bytes) => {
  expect(windowFor(rate, connections)).toBe(bytes);
});

/** Bytes that go at once, a KiB at a time. */
function fill(window: ReturnType<typeof createLinkWindow>, most = 2 * WINDOW_BYTES): number {
  let bytes = 0;
  while (bytes < most && window.hasRoom(1024)) {
    window.sent(1024);
    bytes += 1024;
  }
  return bytes;
}

describe("of a connection", () => {
  it("all of the window is under way where nothing holds it, and more goes as that is taken", () => {
    const window = createLinkWindow();
    expect(fill(window)).toBe(WINDOW_BYTES);
    window.taken(MIB, 5);
    expect(fill(window)).toBe(MIB);
  });

  it("no more is under way than the receiver asked for, and a frame", () => {
    const window = createLinkWindow();
    window.hold(MIB, 0);
    expect(fill(window)).toBe(2 * MIB);
    window.taken(1024, 5);
    expect(fill(window)).toBe(1024);
  });

  it("no more is under way than ever, whatever the receiver asks for", () => {
    const window = createLinkWindow();
    window.hold(100 * MIB, 0);
    expect(fill(window)).toBe(WINDOW_BYTES);
  });

  it("a whole frame goes where nothing is under way, however little was asked for", () => {
    const window = createLinkWindow();
    window.hold(1, 0);
    expect(window.hasRoom(FRAME_BYTES)).toBe(true);
    window.sent(FRAME_BYTES);
    expect(window.hasRoom(FRAME_BYTES)).toBe(false);
    window.taken(FRAME_BYTES, 5);
    expect(window.hasRoom(FRAME_BYTES)).toBe(true);
  });

  it("what the receiver takes in a second may be under way, and is less again when it takes less, down to what it asked for", () => {
    const window = createLinkWindow();
    window.hold(MIB, 0);
    const count = { sent: fill(window), taken: 0, nowMs: 0 };
    /** What is under way after so many seconds. */
    const takeFor = (seconds: number, mibPerSecond: number) => {
      for (let turn = 0; turn < seconds * 20; turn++) {
        count.nowMs += 50;
        count.taken += Math.min(count.sent - count.taken, (mibPerSecond * MIB) / 20);
        window.taken(count.taken, count.nowMs);
        count.sent += fill(window);
      }
      return (count.sent - count.taken) / MIB;
    };
    expect(takeFor(5, 0.5)).toBeCloseTo(2, 2);
    expect(takeFor(5, 4)).toBeCloseTo(5, 1);
    expect(takeFor(5, 100)).toBeCloseTo(6, 2);
    expect(takeFor(5, 2)).toBeCloseTo(3, 1);
    expect(takeFor(5, 0.5)).toBeCloseTo(2, 2);
  });

  it("what others had under way before says nothing of the rate of those who follow", () => {
    const window = createLinkWindow();
    expect(fill(window)).toBe(WINDOW_BYTES);
    window.hold(MIB, 0);
    window.taken(4 * MIB, 10);
    expect(fill(window)).toBe(0);
    window.taken(WINDOW_BYTES, 20);
    expect(fill(window)).toBe(2 * MIB);
    window.taken(WINDOW_BYTES, 2000);
    expect(fill(window)).toBe(0);
  });

  it.each([
    ["more than was sent", 3],
    ["less than before", 1],
  ])("it cannot be that %s was taken", (_, bytes) => {
    const window = createLinkWindow();
    window.sent(2);
    window.taken(2, 0);
    expect(() => window.taken(bytes, 0)).toThrow(/says that it has taken/);
  });
});

/** Bytes a second that a receiver takes by this rate in these seconds, over a way of so long there and back, and the most that was under way. */
async function carry(
  rateAt: (second: number) => number,
  seconds: readonly [from: number, to: number],
  roundTripMs: number,
) {
  const clock = createFakeClock();
  const nowMs = () => clock.monotonicMs();
  const window = createLinkWindow();
  const pace = createPace(() => rateAt(nowMs() / 1000), clock);
  window.hold(pace.join().windowBytes(), nowMs());
  const count = { sent: 0, taken: 0, most: 0 };
  const inTransit = (did: () => void) => void clock.timer(roundTripMs / 2, did);
  const stop = new AbortController();
  const take = async () => {
    await pace.take(FRAME_BYTES, stop.signal);
    count.taken += FRAME_BYTES;
    const told = count.taken;
    inTransit(() => {
      window.taken(told, nowMs());
      send();
    });
  };
  const send = () => {
    while (window.hasRoom(FRAME_BYTES)) {
      window.sent(FRAME_BYTES);
      count.sent += FRAME_BYTES;
      count.most = Math.max(count.most, count.sent - count.taken);
      inTransit(() => void take().catch(() => undefined));
    }
  };
  send();
  await clock.advance(seconds[0] * 1000);
  const before = count.taken;
  await clock.advance((seconds[1] - seconds[0]) * 1000);
  stop.abort(new DOMException("enough", "AbortError"));
  return { bytesPerSecond: (count.taken - before) / (seconds[1] - seconds[0]), most: count.most };
}

describe("a rate is reached over a long way, with little under way", () => {
  const cases = [0.2, 1, 4, 20].flatMap((mb) => [1, 200, 600].map((ms) => [mb, ms] as const));
  it.each(cases)("%d MB/s over %i ms", async (mb, roundTripMs) => {
    const { bytesPerSecond, most } = await carry(() => mb * 1e6, [10, 110], roundTripMs);
    const ceiling = WINDOW_BYTES / (roundTripMs / 1000);
    expect(bytesPerSecond / Math.min(mb * 1e6, ceiling)).toBeGreaterThan(0.8);
    expect(bytesPerSecond).toBeLessThan(1.06 * mb * 1e6);
    // What was taken and is not told of yet does not count, and a second has now one frame more and now one less.
    expect(most).toBeLessThanOrEqual(mb * 1e6 + 2 * FRAME_BYTES);
  });

  it.each([1, 200, 600])("one that rises from 0.5 to 8 MB/s on the way, over %i ms", async (roundTripMs) => {
    const rateAt = (second: number) => (second < 10 ? 0.5e6 : 8e6);
    const { bytesPerSecond } = await carry(rateAt, [20, 60], roundTripMs);
    expect(bytesPerSecond / 8e6).toBeGreaterThan(0.8);
  });
});
