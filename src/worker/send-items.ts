import { hash } from "node:crypto";
import { read, readSync } from "node:fs";
import { promisify } from "node:util";
import { pathBytes } from "../contract/transfer/path-text.ts";
import type { ScopedItem } from "../contract/transfer/transfer-ticket.ts";
import { createBufferRing } from "./buffer-ring.ts";
import type { DataLink } from "./data-link.ts";
import { fault, toFault } from "./fault.ts";
import {
  DATA_HEAD_BYTES,
  type DataHead,
  emptyFrame,
  FRAME,
  FRAME_HEAD_BYTES,
  jsonFrame,
  MAX_ZERO_BYTES,
  PIECE_BYTES,
  writeDataHead,
  writeDataHeads,
  writeFrameHead,
} from "./frames.ts";
import { createItemHash, isPieceEnd, isTagged, SMALL_BYTES } from "./item-hash.ts";
import { createDescent, splitPath, within } from "./jail.ts";
import type { Want } from "./link-messages.ts";
import type { Pace } from "./pace.ts";
import { openSourceFile, openSourceFileAt, type SourceFile } from "./source-file.ts";
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

interface SmallAnswer {
  readonly index: number;
  readonly item: ScopedItem;
  readonly file: SourceFile;
  /** Hash of what the receiver has of it. */
  readonly theirs: string | undefined;
}

interface ReadPiece {
  readonly buffer: Buffer;
  readonly bytes: Buffer;
}

const HEADS = FRAME_HEAD_BYTES + DATA_HEAD_BYTES;
const BUFFERS = 4;
/** So that nothing else of this process, or of the receiver's, waits long for many small files. */
const TURN_FILES = 64;

/**
 * Answers each want: `data` up to the last piece, `same`, or `failed`. Rejects when the connection breaks, or with the signal's
 * reason. A file is looked at before it is read and after each piece: one that changes meanwhile ends as `source-changed`,
 * and never as a mixed file, for its last piece is not sent.
 */
export async function sendItems(
  items: readonly ScopedItem[],
  { wants, sparse, key }: Want,
  deps: SendDeps,
): Promise<void> {
  const { link, signal } = deps;
  const descent = createDescent(deps.root);
  const ring = createBufferRing(BUFFERS, HEADS + PIECE_BYTES);
  const place = splitPath(pathBytes(deps.place));
  let packed: { readonly buffer: Buffer; bytes: number; files: number } | undefined;
  let broken: unknown;

  const flush = async (buffer: Buffer, bytes: number) => {
    try {
      await deps.pace.take(bytes, signal);
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
    writeFrameHead(buffer, 0, FRAME.pack, bytes - FRAME_HEAD_BYTES);
    await flush(buffer, bytes);
  };
  let sames: Buffer[] = [];
  const addSame = (index: number, sha256: string) => void sames.push(jsonFrame(FRAME.same, { index, sha256 }));
  const flushSames = async () => {
    const told = sames;
    sames = [];
    if (told.length > 0) await link.send(Buffer.concat(told));
  };
  const takeBuffer = async () => {
    const buffer = await ring.take();
    if (!signal.aborted && broken === undefined) return buffer;
    ring.release(buffer);
    throw signal.aborted ? signal.reason : broken;
  };

  const flushFull = async (length: number) => {
    const isFull =
      packed !== undefined &&
      (packed.files >= TURN_FILES || packed.bytes + DATA_HEAD_BYTES + length > packed.buffer.length);
    if (isFull) await flushPacked();
  };
  /** There is room for it. */
  const packSmall = (
    pack: NonNullable<typeof packed>,
    { index, item: { offset, length }, file, theirs }: SmallAnswer,
  ): void => {
    const from = pack.bytes + DATA_HEAD_BYTES;
    const bytes = pack.buffer.subarray(from, from + length);
    readFully(file.fd, bytes, offset);
    file.requireUnchanged();
    const digest = hash("sha256", bytes, "buffer");
    if (theirs !== undefined && digest.toString("hex") === theirs) {
      addSame(index, theirs);
      return;
    }
    writeDataHead(pack.buffer, pack.bytes, { index, at: 0, length, isZero: false, isLast: true, digest });
    pack.bytes += DATA_HEAD_BYTES + length;
    pack.files += 1;
  };
  const sendSmall = async (small: SmallAnswer) => {
    await flushFull(small.item.length);
    packed ??= { buffer: await takeBuffer(), bytes: FRAME_HEAD_BYTES, files: 0 };
    packSmall(packed, small);
    if (sames.length >= TURN_FILES) await flushSames();
  };

  const sendLarge = async (index: number, { offset, length }: ScopedItem, file: SourceFile, from: number) => {
    await flushPacked();
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
    /** Zeros that nobody was told of yet. */
    let hole: Pick<DataHead, "at" | "length" | "digest"> | undefined;
    const tellHole = () => {
      if (hole === undefined) return;
      const head = { index, ...hole, isZero: true, isLast: hole.at + hole.length === length };
      hole = undefined;
      const frame = Buffer.alloc(HEADS);
      writeDataHeads(frame, 0, head);
      deps.onBytes(frame.length);
      link.send(frame).catch((error: unknown) => {
        broken ??= error;
      });
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
            if (sparse && isZero(bytes)) {
              hole = { at: hole?.at ?? at, length: (hole?.length ?? 0) + bytes.length, digest };
              if (hole.length >= MAX_ZERO_BYTES || end === length) tellHole();
            } else {
              tellHole();
              const head = { index, at, length: bytes.length, isZero: false, isLast: end === length, digest };
              writeDataHeads(buffer, 0, head);
              isSent = true;
              await flush(buffer, HEADS + bytes.length);
            }
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

  const isSame = async ({ offset, length }: ScopedItem, file: SourceFile, theirs: string) => {
    const running = createItemHash({ length, key });
    const buffer = await takeBuffer();
    try {
      for (let at = 0; at < length; ) {
        const bytes = buffer.subarray(0, Math.min(PIECE_BYTES, length - at));
        await readAll(file.fd, bytes, offset + at);
        signal.throwIfAborted();
        running.update(bytes);
        at += bytes.length;
      }
    } finally {
      ring.release(buffer);
    }
    file.requireUnchanged();
    return running.digest() === theirs;
  };

  /** From the want `at` on, those of short files in one directory, as many as there is room for together: 0 where it is no such file. */
  const sendTogether = async (at: number): Promise<number> => {
    const parent = parentOfSmall(wants[at], items);
    if (parent === undefined || parent !== parentOfSmall(wants[at + 1], items)) return 0;
    let directory: number;
    try {
      const parts = [...place, ...(parent === "" ? [] : splitPath(pathBytes(parent)))];
      requireUnreserved(parts);
      directory = descent.directory(parts);
    } catch {
      // Each is told of it by itself.
      return 0;
    }
    await flushFull(SMALL_BYTES);
    packed ??= { buffer: await takeBuffer(), bytes: FRAME_HEAD_BYTES, files: 0 };
    const pack = packed;
    const failures: { readonly index: number; readonly thrown: unknown }[] = [];
    const next = within(directory, () => {
      for (let now = at; ; now++) {
        const want = wants[now];
        const item = want === undefined ? undefined : items[want[0]];
        const isEnd = want === undefined || item === undefined || parentOfSmall(want, items) !== parent;
        if (isEnd || pack.files >= TURN_FILES || pack.bytes + DATA_HEAD_BYTES + item.length > pack.buffer.length)
          return now;
        const [index, , theirs] = want;
        try {
          const name = pathBytes(item.entry.path.slice(parent === "" ? 0 : parent.length + 1));
          if (place.length === 0 && parent === "") requireUnreserved([name]);
          const file = openSourceFileAt({ directory, name }, item.entry);
          try {
            packSmall(pack, { index, item, file, theirs });
          } finally {
            file.close();
          }
        } catch (thrown) {
          failures.push({ index, thrown });
        }
      }
    });
    for (const { index, thrown } of failures) await tellFailed(index, thrown);
    if (sames.length >= TURN_FILES) await flushSames();
    return next - at;
  };

  const tellFailed = async (index: number, thrown: unknown) => {
    const { code, message } = toFault(thrown);
    await link.send(jsonFrame(FRAME.failed, { index, code, message: message.slice(0, 1000) }));
  };

  const answer = async ([index, from, theirs]: Want["wants"][number]) => {
    const item = items[index];
    if (item === undefined) return link.send(jsonFrame(FRAME.failed, { index, code: "denied", message: "no item" }));
    let file: SourceFile | undefined;
    try {
      const parts = [...place, ...splitPath(pathBytes(item.entry.path))];
      requireUnreserved(parts);
      file = openSourceFile(descent, parts, item.entry);
      if (from === 0 && item.length <= SMALL_BYTES) await sendSmall({ index, item, file, theirs });
      else if (theirs !== undefined && (await isSame(item, file, theirs))) addSame(index, theirs);
      else await sendLarge(index, item, file, from);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!link.isOpen() || broken !== undefined) throw broken ?? thrown;
      await flushPacked();
      await tellFailed(index, thrown);
    } finally {
      file?.close();
    }
  };

  try {
    for (let at = 0, turn = 0; at < wants.length; ) {
      signal.throwIfAborted();
      const want = wants[at];
      const together = await sendTogether(at);
      if (together === 0 && want !== undefined) await answer(want);
      at += Math.max(1, together);
      turn += Math.max(1, together);
      if (turn < TURN_FILES) continue;
      turn = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await flushPacked();
    await flushSames();
    await ring.idle();
    if (broken !== undefined) throw broken;
    await link.send(emptyFrame(FRAME.end));
  } finally {
    descent.close();
  }
}

/** Of the directory that a short file is in, as path text; `undefined`: it is none. */
function parentOfSmall(want: Want["wants"][number] | undefined, items: readonly ScopedItem[]): string | undefined {
  const item = want === undefined ? undefined : items[want[0]];
  if (item === undefined || want?.[1] !== 0 || item.length > SMALL_BYTES || item.entry.path === "") return undefined;
  return item.entry.path.slice(0, Math.max(0, item.entry.path.lastIndexOf("/")));
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
