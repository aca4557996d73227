import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { seededRandom } from "../../base/random.ts";
import { BLOCK_MAP_BYTES, BLOCK_TAG_BYTES, blocksOf, changedBlocks, packBlocks, unpackBlocks } from "./block-patch.ts";
import { PIECE_BYTES } from "./frames.ts";

const KEY = "00112233445566778899aabbccddeeff";
const MIB = 1024 * 1024;

const need = (length: number) => {
  const blocks = blocksOf({ length, key: KEY });
  if (blocks === undefined) throw new TypeError(`${length} has no blocks`);
  return blocks;
};

it("any blocks of any piece come out as they were, and nothing is sent of the others", () => {
  const random = seededRandom(11);
  for (let round = 0; round < 40; round++) {
    const length = round % 3 === 0 ? PIECE_BYTES : 1 + Math.floor(random() * (PIECE_BYTES - 1));
    const blocks = need(8 * MIB);
    const piece = Buffer.alloc(length, round + 1);
    const there = Buffer.from(piece);
    let changed = 0;
    for (let from = 0; from < length; from += blocks.bytes) {
      if (random() < 0.3) continue;
      const end = Math.min(from + blocks.bytes, length);
      const at = from + Math.floor(random() * (end - from));
      there[at] = (there[at] ?? 0) ^ 1;
      changed += end - from;
    }
    const map = changedBlocks(blocks.tagsOf(piece, 3 * MIB), blocks.tagsOf(there, 3 * MIB));
    const right = Buffer.from(piece);
    if (map === 2 ** Math.ceil(length / blocks.bytes) - 1) continue;
    const packed = piece.subarray(0, packBlocks(piece, map, blocks));
    expect(packed.length).toBe(changed + BLOCK_MAP_BYTES);
    unpackBlocks(packed, there, blocks);
    expect(there.equals(right)).toBe(true);
  }
});

it("a block is the same at its own place only, and under the same key", () => {
  const piece = Buffer.alloc(PIECE_BYTES, 7);
  const tags = need(8 * MIB).tagsOf(piece, 0);
  const all = new Set<string>();
  for (let at = 0; at < tags.length; at += BLOCK_TAG_BYTES) all.add(tags.toString("hex", at, at + BLOCK_TAG_BYTES));
  expect(all.size).toBe(16);
  const other = blocksOf({ length: 8 * MIB, key: KEY.replace("0", "1") });
  expect(changedBlocks(tags, other?.tagsOf(piece, 0) ?? tags)).toBe(0xffff);
  expect(changedBlocks(tags, need(8 * MIB).tagsOf(piece, MIB))).toBe(0xffff);
  // What the other side has none of is changed.
  expect(changedBlocks(tags, tags.subarray(0, 3 * BLOCK_TAG_BYTES))).toBe(0xfff8);
});

it("blocks grow with the item, so that their tags fit one message; what is very short or very long has none", () => {
  expect(blocksOf({ length: 128 * 1024, key: KEY })).toBeUndefined();
  expect(need(64 * MIB).bytes).toBe(64 * 1024);
  expect(need(1024 * MIB).bytes).toBe(64 * 1024);
  expect(need(1025 * MIB).bytes).toBe(128 * 1024);
  expect(need(16 * 1024 * MIB).bytes).toBe(PIECE_BYTES);
  expect(blocksOf({ length: 16 * 1024 * MIB + 1, key: KEY })).toBeUndefined();
});

it.each([
  ["nothing at all", Buffer.alloc(0)],
  ["no map", Buffer.alloc(1)],
  ["a block too few", Buffer.concat([randomBytes(64 * 1024), Buffer.from([0, 3])])],
  ["a block too many", Buffer.concat([randomBytes(128 * 1024), Buffer.from([0, 1])])],
  ["a part of a block", Buffer.concat([randomBytes(1000), Buffer.from([0, 1])])],
  ["a block behind the end", Buffer.concat([randomBytes(64 * 1024), Buffer.from([0, 4])])],
])("a patch of %s is refused", (_, packed) => {
  expect(() => unpackBlocks(packed, Buffer.alloc(100 * 1024), need(8 * MIB))).toThrow(/not as long as the blocks/);
});
