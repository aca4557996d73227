import { expect, it } from "vitest";
import { createSlabReader } from "./slab-reader.ts";

const LARGE = 64 * 1024;

/** Reads as a socket does: into the memory that it was given last. Gives what was handed on. */
function reading() {
  const handed: Buffer[] = [];
  const reader = createSlabReader((bytes) => {
    handed.push(bytes);
    return true;
  });
  let memory = reader.buffer();
  const read = (length: number, fill: number): Buffer => {
    memory.fill(fill, 0, length);
    reader.callback(length, memory);
    memory = reader.buffer();
    return handed.at(-1) ?? Buffer.alloc(0);
  };
  return { handed, read, room: () => memory.length, memory: () => memory };
}

it("never writes again where something was read, whoever reads beside it", () => {
  const [one, other] = [reading(), reading()];
  const lengths = [10, LARGE, LARGE, 100_000, 5, LARGE, ...Array.from({ length: 40 }, () => 7), LARGE, LARGE];
  for (const [index, length] of lengths.entries()) {
    one.read(Math.min(length, one.room()), index);
    other.read(Math.min(length, other.room()), index + 100);
  }
  expect(one.handed.map((bytes) => bytes.every((byte) => byte === bytes[0]))).toEqual(lengths.map(() => true));
  expect(one.handed.map((bytes) => bytes[0])).toEqual(lengths.map((_length, index) => index));
  expect(other.handed.map((bytes) => bytes[0])).toEqual(lengths.map((_length, index) => index + 100));
});

it("copies nothing of a connection that is busy", () => {
  const { read } = reading();
  read(LARGE, 1);
  const [second, third] = [read(LARGE, 2), read(LARGE, 3)];
  expect(third.buffer).toBe(second.buffer);
  expect(third.byteOffset).toBe(second.byteOffset + LARGE);
});

it("keeps no memory for a connection that is not busy", () => {
  const [one, other] = [reading(), reading()];
  for (const each of [one, other]) {
    each.read(LARGE, 1);
    for (let count = 0; count < 20; count++) each.read(10, 2);
  }
  expect(one.memory()).toBe(other.memory());
  // The first large read of a busy time is copied, too.
  expect(one.read(LARGE, 3).buffer).not.toBe(other.memory().buffer);
  expect(one.memory()).not.toBe(other.memory());
});
