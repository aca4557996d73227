import type { KeyObject } from "node:crypto";
import { fault } from "../fault.ts";
import { FRAME, FRAME_HEAD_BYTES, PACK_BYTES, writeFrameHead } from "./frames.ts";
import { SMALL_BYTES, tagOf } from "./item-hash.ts";

/**
 * Whole short files in one frame, of which each frame would cost more than the file: a tag over all that follows, then of each file its index,
 * its length and its bytes. The tag is bound to the pack's number among those of one answer, so that none can be left out, repeated or
 * exchanged. One for all costs a fifth of a hash for each.
 */
export interface PackedFile {
  /** Of the item, in the order of the ticket. */
  readonly index: number;
  readonly bytes: Buffer;
}

const TAG_BYTES = 16;
const FILE_HEAD_BYTES = 8;
const BEGIN = FRAME_HEAD_BYTES + TAG_BYTES;
/** So that nothing else of this process, or of the receiver's, waits long for many small files. */
export const MAX_PACKED = 64;

export interface PackWriter {
  readonly buffer: Buffer;
  files(): number;
  hasRoom(length: number): boolean;
  /** Where the bytes of the next file go. They count once `add` has been called. */
  next(length: number): Buffer;
  add(index: number, length: number): void;
  /** The whole frame. */
  finish(of: PackPlace): Buffer;
}

export interface PackPlace {
  readonly key: KeyObject;
  readonly number: number;
}

/** `buffer` has room for a frame of `PACK_BYTES`. */
export function createPackWriter(buffer: Buffer): PackWriter {
  const most = Math.min(buffer.length, FRAME_HEAD_BYTES + PACK_BYTES);
  let end = BEGIN;
  let files = 0;
  return {
    buffer,
    files: () => files,
    hasRoom: (length) => files < MAX_PACKED && end + FILE_HEAD_BYTES + length <= most,
    next: (length) => buffer.subarray(end + FILE_HEAD_BYTES, end + FILE_HEAD_BYTES + length),
    add: (index, length) => {
      buffer.writeUInt32BE(index, end);
      buffer.writeUInt32BE(length, end + 4);
      end += FILE_HEAD_BYTES + length;
      files += 1;
    },
    finish: ({ key, number }) => {
      writeFrameHead(buffer, 0, FRAME.pack, end - FRAME_HEAD_BYTES);
      tagOf(buffer.subarray(BEGIN, end), key, { index: number, kind: "pack" }).copy(buffer, FRAME_HEAD_BYTES);
      return buffer.subarray(0, end);
    },
  };
}

/** Throws `corrupt` where the bytes are not those that were packed, before any of them is told. */
export function readPack(
  body: Buffer,
  { key, number }: PackPlace,
): { readonly tag: Buffer; readonly files: readonly PackedFile[] } {
  const tag = body.subarray(0, TAG_BYTES);
  const packed = body.subarray(TAG_BYTES);
  if (!tagOf(packed, key, { index: number, kind: "pack" }).equals(tag))
    throw fault("corrupt", "bytes that came over the network differ from their hash");
  const files: PackedFile[] = [];
  for (let at = 0; at < packed.length; ) {
    const length = packed.length - at < FILE_HEAD_BYTES ? Number.POSITIVE_INFINITY : packed.readUInt32BE(at + 4);
    const from = at + FILE_HEAD_BYTES;
    if (length > SMALL_BYTES || from + length > packed.length || files.length === MAX_PACKED)
      throw fault("corrupt", "a pack is no whole number of short files");
    files.push({ index: packed.readUInt32BE(at), bytes: packed.subarray(from, from + length) });
    at = from + length;
  }
  return { tag, files };
}
