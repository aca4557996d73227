import { expect, test } from "vitest";
import { createFakeClock } from "../base/clock.fake.ts";
import { createChannel, type SessionChannel } from "./channel.ts";
import { FLIGHT_LIMITS } from "./flight-governor.ts";
import { type DataFrame, decodeFrame } from "./frame.ts";
import { createWindowLedger } from "./receive-window.ts";
import { createSendQueue } from "./send-queue.ts";

function makeQueue() {
  const clock = createFakeClock();
  const queue = createSendQueue({ clock, onSent: () => undefined });
  const frames: DataFrame[] = [];
  const channel = (id: number): SessionChannel => {
    const made = createChannel(
      { id, hasDigest: false, reads: ["in"], writes: ["out"] },
      {
        ledger: createWindowLedger(),
        now: () => ({ nowMs: clock.monotonicMs(), rttMs: 20 }),
        control: queue.control,
        datagram: () => false,
        ready: queue.ready,
        ended: () => undefined,
      },
    );
    made.grantAll(1e9);
    return made;
  };
  queue.open((pieces) => {
    const frame = decodeFrame(pieces);
    if ("pieces" in frame) frames.push(frame);
    return true;
  }, 0);
  const sentBy = (id: number) => frames.filter((frame) => frame.channel === id).map(({ length }) => length);
  return { clock, queue, frames, channel, sentBy };
}

const write = (channel: SessionChannel, bytes: number) => channel.writable("out").write(Buffer.alloc(bytes));

test("what is typed goes at once while bulk fills the link, and bulk does not", () => {
  const { queue, channel, frames, sentBy } = makeQueue();
  const [bulk, other, shell] = [channel(1), channel(2), channel(3)];
  write(bulk, 1_000_000);
  expect(queue.isFlightFull).toBe(true);
  const full = queue.unackedBytes;
  write(other, 100_000);
  write(shell, 1);
  expect(sentBy(3)).toEqual([1]);
  // A little of who has sent nothing yet, and no more before there is room.
  expect(sentBy(2)).toEqual([4096]);
  expect(queue.unackedBytes - full).toBeLessThan(5000);
  queue.acknowledged(4);
  expect(frames.at(-1)?.channel).not.toBe(3);
});

test("many who send little have a bound together, and go before bulk when there is room again", () => {
  const { queue, channel, frames } = makeQueue();
  const bulk = channel(1);
  write(bulk, 1_000_000);
  const full = queue.unackedBytes;
  for (let id = 2; id < 200; id++) write(channel(id), 1000);
  expect(queue.unackedBytes - full).toBeLessThan(40_000);
  const count = frames.length;
  queue.acknowledged(6);
  const next = frames.slice(count, count + 20);
  expect(next.length).toBe(20);
  for (const { channel: id } of next) expect(id).not.toBe(1);
});

test("who sent much a while ago is not held for it", async () => {
  const { clock, queue, channel, sentBy } = makeQueue();
  const [bulk, shell] = [channel(1), channel(2)];
  write(shell, 10_000);
  expect(sentBy(2)).toEqual([10_000]);
  write(bulk, FLIGHT_LIMITS.firstBytes * 2);
  write(shell, 5);
  expect(sentBy(2)).toEqual([10_000]);
  await clock.advance(150);
  const third = channel(3);
  write(third, 7);
  expect(sentBy(3)).toEqual([7]);
  queue.acknowledged(9);
  expect(sentBy(2)).toEqual([10_000, 5]);
});
