import { fault } from "../fault.ts";
import { PIECE_BYTES } from "./frames.ts";
import { isTagged, tagKeyOf, tagOf } from "./item-hash.ts";

/**
 * An item of which the destination has an earlier form comes as patches: for each piece, those of its blocks that differ. Blocks lie
 * at the same places on both sides. What says that two are the same is a tag by the transfer's key; the piece that is put together
 * is then held against its mark, as any other.
 */
export interface Blocks {
  readonly bytes: number;
  /** One tag for each block of a piece that begins at `at` of the item; its last may be shorter. */
  tagsOf(piece: Buffer, at: number): Buffer;
}

export const BLOCK_TAG_BYTES = 16;
/** Behind the blocks: which they are, a bit each, the first the lowest. */
export const BLOCK_MAP_BYTES = 2;
const LEAST_BLOCK_BYTES = PIECE_BYTES / (8 * BLOCK_MAP_BYTES);
/** Of one item: their tags are asked about in one message. */
const MAX_BLOCKS = 16_384;

/** `undefined`: the item is too short or too long to be compared by parts. */
export function blocksOf({ length, key }: { readonly length: number; readonly key: string }): Blocks | undefined {
  if (!isTagged(length) || length > MAX_BLOCKS * PIECE_BYTES) return undefined;
  let bytes = LEAST_BLOCK_BYTES;
  while (length / bytes > MAX_BLOCKS) bytes *= 2;
  const secret = tagKeyOf(key);
  return {
    bytes,
    tagsOf: (piece, at) => {
      const tags = Buffer.allocUnsafe(Math.ceil(piece.length / bytes) * BLOCK_TAG_BYTES);
      for (let from = 0, to = 0; from < piece.length; from += bytes, to += BLOCK_TAG_BYTES) {
        const place = { index: (at + from) / bytes, kind: "block" as const };
        tagOf(piece.subarray(from, from + bytes), secret, place).copy(tags, to);
      }
      return tags;
    },
  };
}

/** Pure. Which blocks of a piece are not those that the other side has at its place: as in `BLOCK_MAP_BYTES`. */
export function changedBlocks(tags: Buffer, theirs: Buffer): number {
  let map = 0;
  for (let at = 0, bit = 1; at < tags.length; at += BLOCK_TAG_BYTES, bit *= 2) {
    const end = at + BLOCK_TAG_BYTES;
    if (theirs.length < end || tags.compare(theirs, at, end, at, end) !== 0) map += bit;
  }
  return map;
}

/** Brings those blocks to the begin of the buffer, and the map behind them. How long that is; a piece of which none is left out is longer than it was. */
export function packBlocks(piece: Buffer, map: number, { bytes }: Pick<Blocks, "bytes">): number {
  let length = 0;
  for (let from = 0, rest = map; from < piece.length; from += bytes, rest >>>= 1) {
    if ((rest & 1) === 0) continue;
    const end = Math.min(from + bytes, piece.length);
    piece.copyWithin(length, from, end);
    length += end - from;
  }
  new DataView(piece.buffer, piece.byteOffset).setUint16(length, map);
  return length + BLOCK_MAP_BYTES;
}

/** The other way: `into` has what was there before. Throws `corrupt` for what `packBlocks` does not make. */
export function unpackBlocks(packed: Buffer, into: Buffer, { bytes }: Pick<Blocks, "bytes">): void {
  const end = packed.length - BLOCK_MAP_BYTES;
  const map = end < 0 ? 0 : packed.readUInt16BE(end);
  let at = 0;
  let rest = map;
  for (let from = 0; from < into.length; from += bytes, rest >>>= 1) {
    if ((rest & 1) === 0) continue;
    const length = Math.min(bytes, into.length - from);
    if (at + length > end) break;
    packed.copy(into, from, at, at + length);
    at += length;
  }
  if (at !== end || rest !== 0) throw fault("corrupt", "a patch is not as long as the blocks that it names");
}

/** What the other side has of an item, from `from` on, by its tags in base64. Throws `corrupt` for an item that has no blocks. */
export function presentBlocks(item: { readonly length: number; readonly key: string }, tags: string, from: number) {
  const blocks = blocksOf(item);
  if (blocks === undefined) throw fault("corrupt", "the peer compares by blocks what has none");
  const theirs = Buffer.from(tags, "base64");
  const changed = (piece: Buffer, at: number) =>
    changedBlocks(blocks.tagsOf(piece, at), theirs.subarray(((at - from) / blocks.bytes) * BLOCK_TAG_BYTES));
  return {
    changed,
    /** `undefined`: the whole piece has to go. */
    pack: (piece: Buffer, at: number) => {
      const map = changed(piece, at);
      const all = 2 ** Math.ceil(piece.length / blocks.bytes) - 1;
      return map === all ? undefined : packBlocks(piece, map, blocks);
    },
  };
}
