import { createCipheriv, createHash, createSecretKey, type KeyObject } from "node:crypto";
import { PIECE_BYTES } from "./frames.ts";
import { isZero, ZEROS } from "./zeros.ts";

/** Items up to this long are one piece, read at once and sent together with others. */
export const SMALL_BYTES = 128 * 1024;
/** Of a mark on the wire. */
const MARK_BYTES = 32;
const POSITION_BYTES = 12;
const KEY_BYTES = 16;

/**
 * What both sides hold an item against while it moves and while it lies staged. A short item: SHA-256 of its bytes. A longer one: a
 * tag of 128 bits for each piece (GMAC, which costs a fifth of SHA-256), bound to its place in the item, and SHA-256 over the tags.
 * A piece of nothing but zeros has the tag of its place and length alone, so that a hole of any length costs nothing.
 * The key is the transfer's own: who wrote a file did not know it, so that nothing can be made to look like something else.
 */
export interface ItemHash {
  /** The next piece: whole, but for the last. Gives what goes with it over the wire, `MARK_BYTES` long. */
  update(piece: Buffer): Buffer;
  /** As `update` with so many zero bytes: at most a piece. */
  updateZeros(length: number): Buffer;
  /** Over all so far, lower-case hexadecimal. */
  digest(): string;
}

export interface ItemRange {
  readonly length: number;
  /** Of the transfer, hexadecimal. */
  readonly key: string;
  /** Where the first piece begins: the marks of a longer item do not depend on what is before. */
  readonly from?: number;
}

/** Also what comes in several pieces has one digest only: longer items must be cut the same everywhere. */
export function isTagged(length: number): boolean {
  return length > SMALL_BYTES;
}

/** Where the proof of an item may end, so that the next piece can follow. */
export function isPieceEnd(bytes: number, length: number): boolean {
  return !isTagged(length) || bytes % PIECE_BYTES === 0 || bytes === length;
}

export function createItemHash({ length, key, from = 0 }: ItemRange): ItemHash {
  const running = createHash("sha256");
  const digest = () => running.copy().digest("hex");
  if (!isTagged(length)) {
    const update = (piece: Buffer) => {
      running.update(piece);
      return running.copy().digest();
    };
    return { update, updateZeros: (count) => update(ZEROS.subarray(0, count)), digest };
  }
  const secret = tagKeyOf(key);
  let index = Math.floor(from / PIECE_BYTES);
  const add = (tag: Buffer) => {
    const mark = Buffer.alloc(MARK_BYTES);
    tag.copy(mark);
    running.update(mark);
    return mark;
  };
  const zerosAt = (count: number) => tagOf(NOTHING, secret, { index: index++, kind: "zeros", length: count });
  return {
    update: (piece) =>
      add(isZero(piece) ? zerosAt(piece.length) : tagOf(piece, secret, { index: index++, kind: "piece" })),
    updateZeros: (count) => add(zerosAt(count)),
    digest,
  };
}

/** Same for all leases of a transfer: what comes before the first colon of their ids is random, and its own. */
export function itemKeyOf(leaseId: string): string {
  const [uid = ""] = leaseId.split(":");
  return createHash("sha256")
    .update(`pieces of ${uid}`)
    .digest("hex")
    .slice(0, 2 * KEY_BYTES);
}

/** As the system's library wants it: from bytes it would be made anew for each tag, which takes longer than the tag of a block. */
export function tagKeyOf(key: string): KeyObject {
  return createSecretKey(key, "hex");
}

const KINDS = { piece: 0, zeros: 1, block: 2, pack: 3, head: 4, same: 5 } as const;
const NOTHING = Buffer.alloc(0);

/** Bound to its place among the pieces of an item, among its blocks, among packs, or among items. 16 bytes. `length`: of the bytes unless given. */
export function tagOf(
  bytes: Buffer,
  key: KeyObject,
  at: { readonly index: number; readonly kind: keyof typeof KINDS; readonly length?: number },
): Buffer {
  const position = Buffer.alloc(POSITION_BYTES);
  position.writeUInt32BE(at.index, 0);
  position.writeUInt32BE(at.length ?? bytes.length, 4);
  position.writeUInt32BE(KINDS[at.kind], 8);
  const cipher = createCipheriv("aes-128-gcm", key, position);
  // Nothing is encrypted: the piece is only authenticated.
  cipher.setAAD(bytes);
  cipher.final();
  return cipher.getAuthTag();
}
