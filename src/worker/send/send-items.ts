import { pathBytes } from "../../contract/transfer/path-text.ts";
import type { ScopedItem } from "../../contract/transfer/transfer-ticket.ts";
import { fault, toFault } from "../fault.ts";
import type { BulkFile, BulkFiles } from "../storage/bulk-file.ts";
import { createDescent, splitPath } from "../storage/jail.ts";
import { openSourceFile, type SourceFile } from "../storage/source-file.ts";
import { requireUnreserved } from "../storage/storage.ts";
import { presentBlocks } from "../wire/block-patch.ts";
import { bindDataHead, bondOfSame } from "../wire/bound-answer.ts";
import type { DataLink } from "../wire/data-link.ts";
import {
  DATA_HEAD_BYTES,
  type DataHead,
  emptyFrame,
  FRAME,
  FRAME_HEAD_BYTES,
  jsonFrame,
  MAX_ZERO_BYTES,
  PIECE_BYTES,
  WINDOW_BYTES,
  writeDataHeads,
} from "../wire/frames.ts";
import { createItemHash, isPieceEnd, isTagged, tagKeyOf } from "../wire/item-hash.ts";
import type { Want } from "../wire/link-messages.ts";
import type { Pace } from "../wire/pace.ts";
import { MAX_PACKED } from "../wire/pack.ts";
import { isZero } from "../wire/zeros.ts";
import { createBufferRing } from "./buffer-ring.ts";
import { createPackSender } from "./send-packs.ts";

export interface SendDeps {
  readonly bulkFiles: BulkFiles;
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

/**
 * Answers each want: `data` up to the last piece, `same`, or `failed`. Rejects when the connection breaks, or with the signal's
 * reason. A file is looked at before it is read and after each piece: one that changes meanwhile ends as `source-changed`,
 * and never as a mixed file, for its last piece is not sent.
 */
export async function sendItems(
  items: readonly ScopedItem[],
  { wants, sparse, key, window, binds = false }: Want,
  deps: SendDeps,
): Promise<void> {
  const { link, signal } = deps;
  const descent = createDescent(deps.root);
  const ring = createBufferRing(BUFFERS, HEADS + PIECE_BYTES);
  const place = splitPath(pathBytes(deps.place));
  const bindKey = binds ? tagKeyOf(key) : undefined;
  let broken: unknown;

  const flush = async (buffer: Buffer, frame: Buffer) => {
    try {
      await link.waitFor(deps.pace.take(frame.length, signal));
      await link.room(frame.length);
    } catch (thrown) {
      ring.release(buffer);
      throw thrown;
    }
    deps.onBytes(frame.length);
    link.send(frame).then(
      () => ring.release(buffer),
      (error: unknown) => {
        broken ??= error;
        ring.release(buffer);
      },
    );
  };
  let sames: Buffer[] = [];
  const addSame = (index: number, sha256: string) => {
    const bond = bindKey === undefined ? {} : { bond: bondOfSame({ index, sha256 }, bindKey) };
    sames.push(jsonFrame(FRAME.same, { index, sha256, ...bond }));
  };
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

  const sendLarge = async (
    [index, from, , tags]: Want["wants"][number],
    { offset, length }: ScopedItem,
    file: SourceFile,
  ) => {
    const present = tags === undefined ? undefined : presentBlocks({ length, key }, tags, from);
    if (!isPieceEnd(from, length)) throw fault("corrupt", "the peer has a part of a piece");
    // Short ones are hashed from their begin, whatever is there.
    const begin = isTagged(length) ? from : 0;
    const running = createItemHash({ length, key, from: begin });
    const writeHeads: typeof writeDataHeads = (into, at, head, bytes) => {
      writeDataHeads(into, at, head, bytes);
      if (bindKey !== undefined && isTagged(length)) bindDataHead(into, bindKey);
    };
    const bulk = deps.bulkFiles.of(file.fd, () => link.isSealed);
    const readPiece = async (start: number): Promise<ReadPiece> => {
      const end = Math.min(length, start < from ? from : Number.POSITIVE_INFINITY, start + PIECE_BYTES);
      const buffer = await takeBuffer();
      try {
        const bytes = buffer.subarray(HEADS, HEADS + end - start);
        await readAll(bulk, bytes, offset + start);
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
      const head = { index, ...hole, isZero: true, isPatch: false, isLast: hole.at + hole.length === length };
      hole = undefined;
      const frame = Buffer.alloc(HEADS);
      writeHeads(frame, 0, head);
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
        reading = end < length && !bulk.isDirect() ? readPiece(end) : undefined;
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
              const patch = present?.pack(bytes, at);
              const sent = patch ?? bytes.length;
              const flags = { isZero: false, isPatch: patch !== undefined, isLast: end === length };
              writeHeads(buffer, 0, { index, at, length: bytes.length, digest, ...flags }, sent);
              isSent = true;
              await flush(buffer, buffer.subarray(0, HEADS + sent));
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

  const isSame = async ({ offset, length }: ScopedItem, file: SourceFile, theirs: string, tags?: string) => {
    const running = createItemHash({ length, key });
    const present = tags === undefined ? undefined : presentBlocks({ length, key }, tags, 0);
    const bulk = deps.bulkFiles.of(file.fd, () => link.isSealed);
    const buffer = await takeBuffer();
    try {
      for (let at = 0; at < length; ) {
        const bytes = buffer.subarray(0, Math.min(PIECE_BYTES, length - at));
        await readAll(bulk, bytes, offset + at);
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

  const tellFailed = async (index: number, thrown: unknown) => {
    const { code, message } = toFault(thrown);
    await link.send(jsonFrame(FRAME.failed, { index, code, message: message.slice(0, 1000) }));
  };

  const answer = async (want: Want["wants"][number]) => {
    const [index, , theirs = "", tags] = want;
    const item = items[index];
    if (item === undefined) return link.send(jsonFrame(FRAME.failed, { index, code: "denied", message: "no item" }));
    let file: SourceFile | undefined;
    try {
      const parts = [...place, ...splitPath(pathBytes(item.entry.path))];
      requireUnreserved(parts);
      file = openSourceFile(descent, parts, item.entry);
      if (theirs !== "" && (await isSame(item, file, theirs, tags))) addSame(index, theirs);
      else await sendLarge(want, item, file);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!link.isOpen() || broken !== undefined) throw broken ?? thrown;
      await tellFailed(index, thrown);
    } finally {
      file?.close();
    }
  };

  const packs = createPackSender({
    items,
    place,
    descent,
    key,
    takeBuffer,
    release: ring.release,
    send: flush,
    same: addSame,
    failed: tellFailed,
  });
  link.hold(window ?? WINDOW_BYTES);
  try {
    for (let at = 0, turn = 0; at < wants.length; ) {
      signal.throwIfAborted();
      const want = wants[at];
      const packed = await packs.take(wants, at);
      if (packed === 0 && want !== undefined) {
        await packs.flush();
        await answer(want);
      }
      at += Math.max(1, packed);
      turn += Math.max(1, packed);
      if (sames.length >= MAX_PACKED) await flushSames();
      if (turn < MAX_PACKED) continue;
      turn = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await packs.flush();
    await flushSames();
    await ring.idle();
    if (broken !== undefined) throw broken;
    await link.send(emptyFrame(FRAME.end));
  } finally {
    descent.close();
  }
}

async function readAll(bulk: BulkFile, into: Buffer, position: number): Promise<void> {
  const count = await bulk.read(into, position);
  // It became shorter; the look after the read says so.
  if (count < into.length) into.fill(0, count);
}
