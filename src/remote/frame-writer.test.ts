import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { createFrameWriter, type FrameHead, withHead } from "./frame-writer.ts";

const HEAD: FrameHead = {
  lengthOf: () => 4,
  write: (target, bytes) => void target.writeUInt32BE(bytes),
};
const lengthsOf = (pieces: readonly Uint8Array[]) => pieces.map(({ length }) => length);
const frame = (...lengths: number[]) => lengths.map((length, index) => Buffer.alloc(length, index + 1));

/** A connection that holds what it is given until it is told to take it. */
function connection() {
  let corked = 0;
  let onTaken: (() => void) | undefined;
  const target = {
    writableLength: 0,
    flushes: 0,
    cork: () => {
      corked += 1;
    },
    uncork: () => {
      corked -= 1;
      if (corked === 0) target.flushes += 1;
    },
    write: (bytes: Uint8Array, taken?: () => void) => {
      target.writableLength += bytes.length;
      if (taken !== undefined) onTaken = taken;
      return true;
    },
    take: (left: number) => {
      target.writableLength = left;
      onTaken?.();
    },
  };
  return target;
}

it.each([
  ["copies a short frame behind its head", frame(10, 20, 30), [64]],
  ["copies the short beginning of a long one, and leaves the rest as it is", frame(12, 60_000, 5), [16, 60_000, 5]],
  ["copies nothing of a frame that begins long", frame(60_000, 5), [4, 60_000, 5]],
  ["takes a frame of nothing", [], [4]],
] as const)("%s", (_title, pieces, lengths) => {
  const written = withHead(HEAD, pieces);
  expect(lengthsOf(written)).toEqual(lengths);
  const whole = Buffer.concat(written);
  expect(whole.readUInt32BE()).toBe(whole.length - 4);
  expect(whole.subarray(4).equals(Buffer.concat(pieces))).toBe(true);
});

it("lets the frames of a turn leave together", async () => {
  const target = connection();
  const write = createFrameWriter(target, HEAD, () => undefined);
  for (let count = 0; count < 3; count++) write(frame(10));
  expect(target.flushes).toBe(0);
  await nextTurn();
  expect(target.flushes).toBe(1);
  write(frame(10));
  await nextTurn();
  expect(target.flushes).toBe(2);
});

it("asks for no more once enough waits, until most of that was taken", () => {
  const target = connection();
  let drains = 0;
  const write = createFrameWriter(target, HEAD, () => {
    drains += 1;
  });
  expect(write(frame(100_000))).toBe(true);
  expect(write(frame(200_000))).toBe(false);
  target.take(100_000);
  expect([drains, write(frame(1))]).toEqual([0, false]);
  target.take(0);
  expect([drains, write(frame(1))]).toEqual([1, true]);
  target.take(0);
  expect(drains).toBe(1);
});
