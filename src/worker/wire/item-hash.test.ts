import { hash, randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { PIECE_BYTES } from "./frames.ts";
import { createItemHash, isPieceEnd, itemKeyOf, SMALL_BYTES } from "./item-hash.ts";

const KEY = itemKeyOf("transfer:1.2:3");
const LENGTH = 2 * PIECE_BYTES + 7;

function piecesOf(content: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.length; at += PIECE_BYTES) pieces.push(content.subarray(at, at + PIECE_BYTES));
  return pieces;
}

function digestOf(content: Buffer, key = KEY): string {
  const running = createItemHash({ length: content.length, key });
  for (const piece of piecesOf(content)) running.update(piece);
  return running.digest();
}

it("is SHA-256 for a short item, however it comes", () => {
  const content = randomBytes(SMALL_BYTES);
  const running = createItemHash({ length: content.length, key: KEY });
  running.update(content.subarray(0, 100));
  const mark = running.update(content.subarray(100));
  expect(running.digest()).toBe(hash("sha256", content));
  expect(mark.toString("hex")).toBe(hash("sha256", content));
});

it("differs for every bit, for pieces that change places, and for another transfer", () => {
  const content = randomBytes(LENGTH);
  const whole = digestOf(content);
  expect(digestOf(Buffer.from(content))).toBe(whole);
  for (const at of [0, PIECE_BYTES - 1, PIECE_BYTES, LENGTH - 1]) {
    const other = Buffer.from(content);
    other[at] = (other[at] ?? 0) ^ 1;
    expect(digestOf(other)).not.toBe(whole);
  }
  const [first = content, second = content, last = content] = piecesOf(content);
  expect(digestOf(Buffer.concat([second, first, last]))).not.toBe(whole);
  expect(digestOf(content, itemKeyOf("another:1.2:3"))).not.toBe(whole);
});

it("gives the same marks to who begins later, and the same key to all leases of a transfer", () => {
  const content = randomBytes(LENGTH);
  const whole = createItemHash({ length: LENGTH, key: KEY });
  const marks = piecesOf(content).map((piece) => whole.update(piece));
  const late = createItemHash({ length: LENGTH, key: KEY, from: PIECE_BYTES });
  const lateMarks = piecesOf(content)
    .slice(1)
    .map((piece) => late.update(piece));
  expect(lateMarks).toEqual(marks.slice(1));
  expect(itemKeyOf("transfer:list:9")).toBe(KEY);
});

it("of zeros is the same whether anybody has them in memory or not, and is bound to their place and length", () => {
  const zeros = Buffer.alloc(LENGTH);
  const told = createItemHash({ length: LENGTH, key: KEY });
  const marks = [PIECE_BYTES, PIECE_BYTES, 7].map((count) => told.updateZeros(count).toString("hex"));
  expect(told.digest()).toBe(digestOf(zeros));
  expect(new Set(marks).size).toBe(3);
  const shorter = createItemHash({ length: LENGTH, key: KEY });
  expect(shorter.updateZeros(PIECE_BYTES - 1).toString("hex")).not.toBe(marks[0]);
  const almost = Buffer.from(zeros);
  almost[LENGTH - 1] = 1;
  expect(digestOf(almost)).not.toBe(digestOf(zeros));
  const short = createItemHash({ length: 100, key: KEY });
  short.updateZeros(100);
  expect(short.digest()).toBe(hash("sha256", Buffer.alloc(100)));
});

it("lets a proof of a longer item end where a piece does", () => {
  expect(isPieceEnd(5, SMALL_BYTES)).toBe(true);
  expect(isPieceEnd(5, LENGTH)).toBe(false);
  expect(isPieceEnd(PIECE_BYTES, LENGTH)).toBe(true);
  expect(isPieceEnd(LENGTH, LENGTH)).toBe(true);
});
