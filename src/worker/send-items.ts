import { hash } from "node:crypto";
import { read, readSync } from "node:fs";
import { promisify } from "node:util";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { pathBytes } from "../contract/transfer/path-text.ts";
import { BLOCK_TAG_BYTES, blocksOf, changedBlocks, packBlocks } from "./block-patch.ts";
import { createBufferRing } from "./buffer-ring.ts";
import type { DataLink } from "./data-link.ts";
import { fault, toFault } from "./fault.ts";
import {
  DATA_HEAD_BYTES,
  emptyFrame,
  FRAME,
  FRAME_HEAD_BYTES,
  jsonFrame,
  PIECE_BYTES,
  writeDataHeads,
} from "./frames.ts";
import { createItemHash, isPieceEnd, isTagged, SMALL_BYTES } from "./item-hash.ts";
import { createDescent, splitPath } from "./jail.ts";
import type { Want } from "./link-messages.ts";
import type { Pace } from "./pace.ts";
import { openSourceFile, type SourceFile } from "./source-file.ts";
import { requireUnreserved } from "./storage.ts";
import { isZero } from "./zeros.ts";

export interface SendDeps {
  /** Root of the storage, held open. */
  readonly root: number;
  /** Of the source within it, as path text. */
  readonly place: string;
  readonly link: DataLink;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

interface ReadPiece {
  readonly buffer: Buffer;
  readonly bytes: Buffer;
}

const HEADS = FRAME_HEAD_BYTES + DATA_HEAD_BYTES;
const BUFFERS = 4;
/** So that nothing else of this process waits long for many small files. */
const TURN_FILES = 64;

/**
 * Answers each want: `data` up to the last piece, `same`, or `failed`. Rejects when the connection breaks, or with the signal's
 * reason. A file is looked at before it is read and after each piece: one that changes meanwhile ends as `source-changed`,
 * and never as a mixed file, for its last piece is not sent.
 */
export async function sendItems(
  items: readonly CopyItem[],
  { wants, sparse, key }: Want,
  deps: SendDeps,
): Promise<void> {
  const { link, signal } = deps;
  const descent = createDescent(deps.root);
  const ring = createBufferRing(BUFFERS, HEADS + PIECE_BYTES);
  const place = splitPath(pathBytes(deps.place));
  let packed: { readonly buffer: Buffer; bytes: number } | undefined;
  let broken: unknown;

  const flush = async (buffer: Buffer, bytes: number) => {
    try {
      await deps.pace.take(bytes, signal);
      await link.room(bytes);
    } catch (thrown) {
      ring.release(buffer);
      throw thrown;
    }
    deps.onBytes(bytes);
    link.send(buffer.subarray(0, bytes)).then(
      () => ring.release(buffer),
      (error: unknown) => {
        broken ??= error;
        ring.release(buffer);
      },
    );
  };
  const flushPacked = async () => {
    if (packed === undefined) return;
    const { buffer, bytes } = packed;
    packed = undefined;
    await flush(buffer, bytes);
  };
  const takeBuffer = async () => {
    const buffer = await ring.take();
    if (!signal.aborted && broken === undefined) return buffer;
    ring.release(buffer);
    throw signal.aborted ? signal.reason : broken;
  };

  const sendSmall = async (index: number, { offset, length }: CopyItem, file: SourceFile) => {
    if (packed !== undefined && packed.bytes + HEADS + length > packed.buffer.length) await flushPacked();
    packed ??= { buffer: await takeBuffer(), bytes: 0 };
    const from = packed.bytes + HEADS;
    const bytes = packed.buffer.subarray(from, from + length);
    readFully(file.fd, bytes, offset);
    file.requireUnchanged();
    const digest = hash("sha256", bytes, "buffer");
    writeDataHeads(packed.buffer, packed.bytes, {
      index,
      at: 0,
      length,
      isZero: false,
      isPatch: false,
      isLast: true,
      digest,
    });
    packed.bytes += HEADS + length;
  };

  const sendLarge = async (
    [index, from, , tags]: Want["wants"][number],
    { offset, length }: CopyItem,
    file: SourceFile,
  ) => {
    await flushPacked();
    const present = tags === undefined ? undefined : presentBlocks({ length, key }, tags, from);
    if (!isPieceEnd(from, length)) throw fault("corrupt", "the peer has a part of a piece");
    // Short ones are hashed from their begin, whatever is there.
    const begin = isTagged(length) ? from : 0;
    const running = createItemHash({ length, key, from: begin });
    const readPiece = async (start: number): Promise<ReadPiece> => {
      const end = Math.min(length, start < from ? from : Number.POSITIVE_INFINITY, start + PIECE_BYTES);
      const buffer = await takeBuffer();
      try {
        const bytes = buffer.subarray(HEADS, HEADS + end - start);
        await readAll(file.fd, bytes, offset + start);
        return { buffer, bytes };
      } catch (thrown) {
        ring.release(buffer);
        throw thrown;
      }
    };
    let reading: ReturnType<typeof readPiece> | undefined = readPiece(begin);
    try {
      for (let at = begin; at < length; ) {
        const piece: ReadPiece = await (reading ?? readPiece(at));
        const { buffer, bytes } = piece;
        const end = at + bytes.length;
        // The next is read while this one is hashed and sent.
        reading = end < length ? readPiece(end) : undefined;
        reading?.catch(() => undefined);
        let isSent = false;
        try {
          file.requireUnchanged();
          const digest = running.update(bytes);
          if (end > from) {
            const isEmpty = sparse && isZero(bytes);
            const packed = isEmpty ? undefined : present?.pack(bytes, at);
            const sent = isEmpty ? 0 : (packed ?? bytes.length);
            const flags = { isZero: isEmpty, isPatch: packed !== undefined, isLast: end === length };
            writeDataHeads(buffer, 0, { index, at, length: bytes.length, digest, ...flags }, sent);
            isSent = true;
            await flush(buffer, HEADS + sent);
          }
        } finally {
          if (!isSent) ring.release(buffer);
        }
        at = end;
      }
    } finally {
      // Nothing reads from the file once it is closed.
      const late = await reading?.catch(() => undefined);
      if (late !== undefined) ring.release(late.buffer);
    }
  };

  const isSame = async ({ offset, length }: CopyItem, file: SourceFile, theirs: string, tags?: string) => {
    const running = createItemHash({ length, key });
    const present = tags === undefined ? undefined : presentBlocks({ length, key }, tags, 0);
    const buffer = await takeBuffer();
    try {
      for (let at = 0; at < length; ) {
        const bytes = buffer.subarray(0, Math.min(PIECE_BYTES, length - at));
        await readAll(file.fd, bytes, offset + at);
        signal.throwIfAborted();
        // The first block that differs says it.
        if (present !== undefined && present.changed(bytes, at) !== 0) return false;
        running.update(bytes);
        at += bytes.length;
      }
    } finally {
      ring.release(buffer);
    }
    file.requireUnchanged();
    return running.digest() === theirs;
  };

  const answer = async (want: Want["wants"][number]) => {
    const [index, from, theirs = "", tags] = want;
    const item = items[index];
    if (item === undefined) return link.send(jsonFrame(FRAME.failed, { index, code: "denied", message: "no item" }));
    let file: SourceFile | undefined;
    try {
      const parts = [...place, ...splitPath(pathBytes(item.entry.path))];
      requireUnreserved(parts);
      file = openSourceFile(descent, parts, item.entry);
      if (theirs !== "" && (await isSame(item, file, theirs, tags))) {
        await flushPacked();
        await link.send(jsonFrame(FRAME.same, { index, sha256: theirs }));
      } else if (from === 0 && item.length <= SMALL_BYTES) await sendSmall(index, item, file);
      else await sendLarge(want, item, file);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!link.isOpen() || broken !== undefined) throw broken ?? thrown;
      const { code, message } = toFault(thrown);
      await flushPacked();
      await link.send(jsonFrame(FRAME.failed, { index, code, message: message.slice(0, 1000) }));
    } finally {
      file?.close();
    }
  };

  try {
    for (const [count, want] of wants.entries()) {
      signal.throwIfAborted();
      await answer(want);
      if (count % TURN_FILES === TURN_FILES - 1) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await flushPacked();
    await ring.idle();
    if (broken !== undefined) throw broken;
    await link.send(emptyFrame(FRAME.end));
  } finally {
    descent.close();
  }
}

/** What the peer has of an item, from `from` on. */
function presentBlocks(item: { readonly length: number; readonly key: string }, tags: string, from: number) {
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

const readOnce = promisify(read);

async function readAll(fd: number, into: Buffer, position: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await readOnce(fd, into, done, into.length - done, position + done);
    // It became shorter; the look after the read says so.
    if (bytesRead === 0) return void into.fill(0, done);
    done += bytesRead;
  }
}

function readFully(fd: number, into: Buffer, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0) return void into.fill(0, done);
    done += count;
  }
}
