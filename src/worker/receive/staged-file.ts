import { closeSync, fdatasync, fdatasyncSync, fstatSync, ftruncateSync, read, writeSync } from "node:fs";
import { promisify } from "node:util";
import { fault } from "../fault.ts";
import type { BulkFiles } from "../storage/bulk-file.ts";
import { openStagedAt, type Place } from "../storage/jail.ts";
import { PIECE_BYTES } from "../wire/frames.ts";
import { createItemHash, isPieceEnd } from "../wire/item-hash.ts";
import { isZero, ZEROS } from "../wire/zeros.ts";

/** What of one item lies staged, and what comes to it: in order, each piece verified before it is written. */
export interface StagedFile {
  readonly fd: number;
  /** Of the item, proved. */
  readonly bytes: () => number;
  readonly ino: string;
  /**
   * Throws `corrupt` for a piece that is not the next one, or not what the sender hashed. Resolves when it has been handed to the system; the
   * bytes may then be used again.
   */
  add(piece: Piece): Promise<void>;
  /** Over the item up to `bytes`. */
  digest(): string;
  /** Resolves when all that was added is on disk. */
  sync(): Promise<void>;
  /** The same, while everything else waits. */
  syncNow(): void;
  close(): Promise<void>;
}

export interface Piece {
  readonly at: number;
  readonly length: number;
  readonly isZero: boolean;
  /** Absent: nobody has hashed it. */
  readonly digest: Buffer | undefined;
  readonly bytes: Buffer;
}

/** The first bytes of an item, and their digest. */
export interface StagedProof {
  readonly bytes: number;
  readonly sha256: string;
}

export interface StagedFileOptions {
  readonly place: Place;
  /** Where the item begins in this file. */
  readonly offset: number;
  readonly length: number;
  /** Of the transfer's marks. */
  readonly key: string;
  /** What a journal says is there: it is read again, and counts only if it is so. */
  readonly proved: StagedProof | undefined;
  /** Bytes that are zero are left out. */
  readonly isSparse: boolean;
  /** Nobody else writes to this file: what lies behind the proved part is nothing. */
  readonly isWhole: boolean;
  readonly bulkFiles: BulkFiles;
  /** As `BulkFiles` says. */
  readonly isElsewhere: () => boolean;
}

/** Blocks of a file that is to have holes. */
const BLOCK_BYTES = 64 * 1024;
const readOnce = promisify(read);
const syncData = promisify(fdatasync);

export async function openStagedFile(options: StagedFileOptions): Promise<StagedFile> {
  const fd = openStagedAt(options.place);
  try {
    return await open(fd, options);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

async function open(
  fd: number,
  { offset, length, key, proved, isSparse, isWhole, bulkFiles, isElsewhere }: StagedFileOptions,
): Promise<StagedFile> {
  const facts = fstatSync(fd, { bigint: true });
  if (!facts.isFile()) throw fault("denied", "what lies in the staging directory is no file");
  let running = createItemHash({ length, key });
  let bytes = 0;
  if (proved !== undefined && proved.bytes > 0 && isPieceEnd(proved.bytes, length)) {
    const isThere = await hashRange(fd, { offset, length: proved.bytes }, running);
    if (isThere && running.digest() === proved.sha256) bytes = proved.bytes;
    else running = createItemHash({ length, key });
  }
  if (isWhole) ftruncateSync(fd, offset + bytes);
  // From here on nothing lies in the file: what is left out is zero.
  const emptyFrom = isWhole ? offset + bytes : Math.max(Number(facts.size), offset + bytes);
  // What a crash left may not be on disk yet.
  let isDirty = bytes > 0;

  const { write: writeAll } = bulkFiles.of(fd, isElsewhere);
  const put = async (data: Buffer, position: number) => {
    if (!isSparse) return writeAll(data, position);
    // Runs of blocks that hold something.
    let from = 0;
    for (let at = 0; at <= data.length; at += BLOCK_BYTES) {
      const block = data.subarray(at, at + BLOCK_BYTES);
      const mayLeaveOut = at < data.length && position + at >= emptyFrom && isZero(block);
      if (at < data.length && !mayLeaveOut) continue;
      if (at > from) await writeAll(data.subarray(from, Math.min(at, data.length)), position + from);
      from = at + BLOCK_BYTES;
    }
    if (from < data.length) await writeAll(data.subarray(from), position + from);
  };

  let present: Buffer | undefined;
  /** What lies there already is zero, or nothing. */
  const isClear = async (from: number, count: number): Promise<boolean> => {
    present ??= Buffer.allocUnsafe(PIECE_BYTES);
    for (let done = 0; done < count; ) {
      const { bytesRead } = await readOnce(fd, present, 0, count - done, from + done);
      if (bytesRead === 0) return true;
      if (!isZero(present.subarray(0, bytesRead))) return false;
      done += bytesRead;
    }
    return true;
  };
  /** Where nothing lies, nothing has to be written; and a hole stays one, although another range has made the file longer than it. */
  const clear = async (from: number, end: number) => {
    const until = isSparse ? Math.min(end, Math.max(from, emptyFrom)) : end;
    for (let at = from; at < until; at += PIECE_BYTES) {
      const count = Math.min(PIECE_BYTES, until - at);
      if (isSparse && (await isClear(at, count))) continue;
      await writeAll(ZEROS.subarray(0, count), at);
    }
  };

  /** A hole at the end has to be there too. */
  const fillUp = () => {
    const { size } = fstatSync(fd);
    if (size < offset + bytes) ftruncateSync(fd, offset + bytes);
  };

  /** Of many pieces: all of them are proved before any is taken for written. */
  const addZeros = async (piece: Piece) => {
    if (piece.at !== bytes || bytes + piece.length > length || !isPieceEnd(bytes + piece.length, length)) {
      throw fault("corrupt", `the peer tells of zeros from ${piece.at} on; expected: whole pieces from ${bytes} on`);
    }
    let mark: Buffer | undefined;
    for (let at = 0; at < piece.length; at += PIECE_BYTES) {
      mark = running.updateZeros(Math.min(PIECE_BYTES, piece.length - at));
    }
    if (piece.digest !== undefined && mark?.equals(piece.digest) !== true)
      throw fault("corrupt", "zeros that were told of differ from their hash");
    const from = offset + bytes;
    const end = from + piece.length;
    bytes += piece.length;
    isDirty = true;
    await clear(from, end);
  };

  return {
    fd,
    bytes: () => bytes,
    ino: String(facts.ino),
    add: async (piece) => {
      if (piece.isZero && piece.length > PIECE_BYTES) return addZeros(piece);
      if (piece.at !== bytes || bytes + piece.length > length) {
        throw fault(
          "corrupt",
          `the peer sent bytes from ${piece.at} on; expected: from ${bytes}, and ${length} in all`,
        );
      }
      if (!isPieceEnd(bytes + piece.length, length)) throw fault("corrupt", "a part of a piece came");
      const data = piece.isZero ? ZEROS.subarray(0, piece.length) : piece.bytes;
      const mark = running.update(data);
      if (piece.digest !== undefined && !mark.equals(piece.digest))
        throw fault("corrupt", "bytes that came over the network differ from their hash");
      const position = offset + bytes;
      bytes += piece.length;
      isDirty = true;
      if (piece.isZero && isSparse) return clear(position, position + piece.length);
      if (data.length <= BLOCK_BYTES && length <= BLOCK_BYTES) writeWhole(fd, data, position);
      else await put(data, position);
    },
    digest: running.digest,
    sync: async () => {
      if (!isDirty) return;
      fillUp();
      await syncData(fd);
      isDirty = false;
    },
    syncNow: () => {
      if (!isDirty) return;
      fillUp();
      fdatasyncSync(fd);
      isDirty = false;
    },
    close: async () => closeSync(fd),
  };
}

function writeWhole(fd: number, data: Buffer, position: number): void {
  for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done, position + done);
}

/** In whole pieces from the begin of the range, each while the next one is read. False where the file ends before the range does. */
export async function hashRange(
  fd: number,
  { offset, length }: { readonly offset: number; readonly length: number },
  into: { update(piece: Buffer): unknown },
  signal?: AbortSignal,
): Promise<boolean> {
  const [one, other] = [0, PIECE_BYTES].map((from) =>
    Buffer.allocUnsafe(Math.max(0, Math.min(PIECE_BYTES, length - from))),
  );
  const readAt = async (at: number): Promise<Buffer | undefined> => {
    const buffer = (at / PIECE_BYTES) % 2 === 0 ? one : other;
    const piece = buffer?.subarray(0, Math.min(PIECE_BYTES, length - at));
    return piece !== undefined && (await readPiece(fd, piece, offset + at)) ? piece : undefined;
  };
  let reading = readAt(0);
  try {
    for (let at = 0; at < length; ) {
      const piece = await reading;
      if (piece === undefined) return false;
      at += piece.length;
      if (at < length) reading = readAt(at);
      into.update(piece);
      signal?.throwIfAborted();
    }
    return true;
  } finally {
    // Nothing reads from the file once it is closed.
    await reading.catch(() => undefined);
  }
}

/** All of it. False where the file ends before. */
export async function readPiece(fd: number, into: Buffer, position: number): Promise<boolean> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await readOnce(fd, into, done, into.length - done, position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}
