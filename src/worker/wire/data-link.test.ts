import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { duplexPair, PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { createFakeClock } from "../../base/clock.fake.ts";
import { connectForBulk } from "./big-reads.ts";
import { createDataLink } from "./data-link.ts";
import {
  DATA_HEAD_BYTES,
  emptyFrame,
  FRAME,
  FRAME_HEAD_BYTES,
  jsonFrame,
  PIECE_BYTES,
  takenFrame,
  WINDOW_BYTES,
  writeDataHeads,
} from "./frames.ts";

const begin = () => {
  const clock = createFakeClock();
  const socket = new PassThrough();
  const link = createDataLink(socket, clock);
  const ended = link.next().then(
    () => "a frame",
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );
  return { clock, socket, link, ended };
};
const turns = () => new Promise<void>((resolve) => setImmediate(resolve));

it("a peer that has gone without a word is given up after 30 s, and not before", async () => {
  const { clock, socket, link, ended } = begin();
  await clock.advance(29_900);
  expect(link.isOpen()).toBe(true);
  await clock.advance(200);
  expect(link.isOpen()).toBe(false);
  expect(await ended).toBe("unreachable: the peer did not get on for 30 s");
  expect(socket.destroyed).toBe(true);
});

it("a frame that comes by bytes of which each is in time for itself takes too long all the same", async () => {
  const { clock, socket, link } = begin();
  const frame = jsonFrame(FRAME.same, { index: 0, sha256: "0".repeat(400) });
  let at = 0;
  for (; at < 8 && link.isOpen(); at++) {
    socket.write(frame.subarray(at, at + 1));
    await turns();
    await clock.advance(29_000);
  }
  // After 2 min, or when that is looked at next.
  expect([5, 6]).toContain(at);
});

it("a peer that takes what it is sent is there, and one that takes nothing is gone after 30 s", async () => {
  const clock = createFakeClock();
  const [near, far] = duplexPair();
  const link = createDataLink(near, clock);
  far.resume();
  for (let frame = 0; frame < 8; frame++) {
    await link.send(emptyFrame(FRAME.end));
    await clock.advance(25_000);
    expect(link.isOpen()).toBe(true);
  }
  far.pause();
  link.send(Buffer.alloc(8 * 1024 * 1024)).catch(() => undefined);
  await clock.advance(61_000);
  expect([link.isOpen(), near.destroyed]).toEqual([false, true]);
});

it("a long frame that comes slowly over a socket is a peer that gets on", async () => {
  const clock = createFakeClock();
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted: Promise<Socket[]> = once(server, "connection");
  const socket = connectForBulk({ host: "127.0.0.1", port }, undefined);
  const [peer] = await accepted;
  if (peer === undefined) throw new TypeError("nobody came");
  const link = createDataLink(socket, clock);
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + DATA_HEAD_BYTES + PIECE_BYTES);
  writeDataHeads(frame, 0, {
    ...{ index: 0, at: 0, length: PIECE_BYTES, digest: Buffer.alloc(32) },
    ...{ isZero: false, isPatch: false, isLast: true },
  });
  const whole = link.next();
  const step = frame.length / 4;
  for (let part = 1; part <= 4; part++) {
    peer.write(frame.subarray(Math.floor(step * (part - 1)), Math.floor(step * part)));
    await expect.poll(() => link.moved()).toBe(Math.floor(step * part));
    await clock.advance(25_000);
    expect(link.isOpen()).toBe(true);
  }
  expect((await whole)?.body.length).toBe(DATA_HEAD_BYTES + PIECE_BYTES);
  link.close();
  peer.destroy();
  server.close();
});

it("a peer that sends a byte a second is cut: its frame takes too long", async () => {
  const { clock, socket, link, ended } = begin();
  const frame = jsonFrame(FRAME.same, { index: 0, sha256: "0".repeat(400) });
  let seconds = 0;
  for (; link.isOpen() && seconds < 300; seconds++) {
    socket.write(frame.subarray(seconds, seconds + 1));
    await turns();
    await clock.advance(1000);
  }
  expect(seconds).toBeGreaterThan(119);
  expect(seconds).toBeLessThan(152);
  expect(await ended).toMatch(/^unreachable/);
});

it("a peer that says something now and then is kept, and one that nobody expects to say anything is too", async () => {
  const { clock, socket, link } = begin();
  for (let minute = 0; minute < 10; minute++) {
    socket.write(emptyFrame(FRAME.end));
    await turns();
    await clock.advance(25_000);
    expect(link.isOpen()).toBe(true);
  }
  link.rest();
  await clock.advance(600_000);
  expect(link.isOpen()).toBe(true);
  link.wake();
  await clock.advance(61_000);
  expect(link.isOpen()).toBe(false);
});

it("who holds things up itself is not given up, and gives nobody up, until it gets on", async () => {
  const clock = createFakeClock();
  const links = duplexPair().map((end) => createDataLink(end, clock));
  for (const busy of links) {
    const work = Promise.withResolvers<void>();
    const waiting = busy.waitFor(work.promise);
    for (let minutes = 0; minutes < 60; minutes++) {
      await clock.advance(10_000);
      await turns();
    }
    expect(links.map(({ isOpen }) => isOpen())).toEqual([true, true]);
    work.resolve();
    await waiting;
  }
  for (let times = 0; times < 5; times++) {
    await clock.advance(10_000);
    await turns();
  }
  expect(links.map(({ isOpen }) => isOpen())).toEqual([false, false]);
});

describe("of data no more goes than the peer has room for", () => {
  const LENGTH = FRAME_HEAD_BYTES + DATA_HEAD_BYTES + PIECE_BYTES;
  const piece = () => {
    const frame = Buffer.alloc(LENGTH);
    const flags = { isZero: false, isPatch: false, isLast: false };
    writeDataHeads(frame, 0, { index: 0, at: 0, length: PIECE_BYTES, digest: Buffer.alloc(32), ...flags });
    return frame;
  };
  const pair = (asked = WINDOW_BYTES) => {
    const clock = createFakeClock();
    const [one, other] = duplexPair();
    const [sender, receiver] = [createDataLink(one, clock), createDataLink(other, clock)];
    sender.hold(asked);
    let sent = 0;
    const sending = (async () => {
      const frame = piece();
      for (let count = 0; count < 40; count++) {
        await sender.room(LENGTH);
        sent += LENGTH;
        await sender.send(frame);
      }
    })();
    sending.catch(() => undefined);
    return { clock, sender, receiver, other, sending, sent: () => sent };
  };

  it.each([
    ["a frame, where the rate is slow", 1, 1],
    ["two frames", 1.9 * LENGTH, 2],
    ["all of the window, where nothing holds it", WINDOW_BYTES, 5],
  ])("however much of it lies in buffers: what it has not taken is never more than %s", async (_, asked, frames) => {
    const { clock, receiver, sending, sent } = pair(asked);
    let taken = 0;
    let most = 0;
    for (let count = 0; count < 40; count++) {
      for (let turn = 0; turn < 20; turn++) await turns();
      most = Math.max(most, sent() - taken);
      const frame = await receiver.next();
      expect(frame?.body.length).toBe(LENGTH - FRAME_HEAD_BYTES);
      frame?.release();
      receiver.took(LENGTH);
      taken += LENGTH;
      // Slower than any of these rates, so that it is that which is seen.
      await clock.advance(5000);
    }
    await sending;
    expect(most).toBe(frames * LENGTH);
    expect(sent()).toBe(40 * LENGTH);
  });

  it("the peer hears of each MiB that was taken; of two at a time while they are taken within 20 ms; of less after that time", async () => {
    const clock = createFakeClock();
    const [one, other] = duplexPair();
    const receiver = createDataLink(other, clock);
    const told: number[] = [];
    one.on("data", (frame: Buffer) => told.push(Number(frame.readBigUInt64BE(FRAME_HEAD_BYTES)) / LENGTH));
    const take = async (count: number, waitMs: number, bytes = LENGTH) => {
      for (let times = 0; times < count; times++) {
        await clock.advance(waitMs);
        receiver.took(bytes);
        await turns();
      }
    };
    await take(5, 1);
    expect(told).toEqual([1, 3, 5]);
    await take(3, 20);
    expect(told).toEqual([1, 3, 5, 6, 7, 8]);
    await take(5, 1, LENGTH / 10);
    expect(told).toHaveLength(6);
    await clock.advance(20);
    await turns();
    expect(told).toEqual([1, 3, 5, 6, 7, 8, 8.5]);
    await clock.advance(1000);
    expect(told).toHaveLength(7);
  });

  it("who waits for room hears that the connection ends", async () => {
    const link = createDataLink(new PassThrough(), createFakeClock());
    await link.room(WINDOW_BYTES);
    const waiting = link.room(1);
    link.close();
    await expect(waiting).rejects.toMatchObject({ code: "unreachable" });
    await expect(link.room(1)).rejects.toMatchObject({ code: "unreachable" });
  });

  it.each([
    ["more than it was sent", takenFrame(100 * LENGTH)],
    ["it in too few bytes", jsonFrame(FRAME.taken, 1)],
    ["it in too many", jsonFrame(FRAME.taken, "123456789")],
  ])("a peer that says that it has taken %s is cut off", async (_, frame) => {
    const { other, sender } = pair();
    const ended = sender.next();
    other.write(frame);
    await expect(ended).rejects.toMatchObject({ code: "corrupt" });
    expect(sender.isOpen()).toBe(false);
  });
});
