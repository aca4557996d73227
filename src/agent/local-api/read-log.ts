import { type FileHandle, open, stat } from "node:fs/promises";
import type { Clock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";
import type { OutputName } from "../../contract/fleet/log-line.ts";
import { createLineBuffer } from "./line-buffer.ts";

export interface ReadLogOptions {
  readonly path: string;
  /** Lines from the end to begin with, out of all files that rotation has kept. */
  readonly lines: number;
  /** Of a session: only lines of this output count as lines to begin with. All are given. */
  readonly output?: OutputName | undefined;
  /** Goes on with what is written later, across truncation and rotation, until the signal aborts. */
  readonly follow: boolean;
  /** Told when lines may be missing, and why. */
  readonly onGap?: (reason: string) => void;
}

const POLL_MS = 250;
const BLOCK_BYTES = 65_536;
/** More than any log keeps (`log.keepFiles`). */
const MAX_ROTATED_FILES = 100;
const ROTATION_ATTEMPTS = 5;
/** How far back the last lines are searched for. */
const MAX_TAIL_BYTES = 8 * 1024 * 1024;

/**
 * Whole lines of a log file, in pieces of about 64 KiB. Holds one descriptor and nothing else between two reads, and
 * takes the next piece only when it is asked for: a slow reader costs no memory. A file that is not there is empty.
 */
export async function* readLog(options: ReadLogOptions, clock: Clock, signal: AbortSignal): AsyncGenerator<string> {
  const { path, lines, follow } = options;
  const block = Buffer.alloc(BLOCK_BYTES);
  const buffer = createLineBuffer();
  let file = await openIfThere(path);
  let position = 0;
  try {
    if (file !== undefined) {
      const isCounted = countedBy(options.output);
      const start = await startOfLastLines(file, lines, isCounted);
      position = start.position;
      if (start.missing > 0) yield* lastLinesOfRotated({ path, current: file, lines: start.missing }, isCounted);
    }
    while (!signal.aborted) {
      const bytes = file === undefined ? 0 : (await file.read(block, 0, BLOCK_BYTES, position)).bytesRead;
      if (bytes > 0) {
        position += bytes;
        const text = buffer.push(block.subarray(0, bytes));
        if (text !== "") yield text;
        continue;
      }
      if (!follow) break;
      const change = await changeOf(file, path, position);
      if (change === "truncated") {
        options.onGap?.("the log was cut off while it was read");
        position = 0;
      } else if (change === "replaced") {
        // The writer may have added to the old file between our last read and its rotation.
        const last = file === undefined ? 0 : (await file.read(block, 0, BLOCK_BYTES, position)).bytesRead;
        if (last > 0) {
          position += last;
          const text = buffer.push(block.subarray(0, last));
          if (text !== "") yield text;
          continue;
        }
        const next = await openNext(file, path);
        if (file !== undefined && !next.isAdjacent) {
          options.onGap?.("the log was rotated away faster than it was read");
        }
        await file?.close();
        file = next.file;
        position = 0;
      } else {
        await clock.delay(POLL_MS, signal).catch(() => undefined);
      }
    }
    const rest = buffer.rest();
    if (rest !== "" && !signal.aborted) yield `${rest}\n`;
  } finally {
    await file?.close();
  }
}

async function changeOf(
  file: FileHandle | undefined,
  path: string,
  position: number,
): Promise<"none" | "truncated" | "replaced"> {
  const current = await stat(path).catch(() => undefined);
  if (current === undefined) return "none";
  if (file === undefined) return "replaced";
  const held = await file.stat();
  if (held.ino !== current.ino || held.dev !== current.dev) return "replaced";
  return held.size < position ? "truncated" : "none";
}

/**
 * The file that was begun when `held` was full: a reader who falls behind finds it under a number of its own. Rotation may go
 * on meanwhile, so what was opened counts only if `held` still stands beside it.
 */
async function openNext(
  held: FileHandle | undefined,
  path: string,
): Promise<{ readonly file: FileHandle | undefined; readonly isAdjacent: boolean }> {
  for (let attempt = 0; held !== undefined && attempt < ROTATION_ATTEMPTS; attempt++) {
    const index = await rotatedIndexOf(held, path);
    if (index === undefined) break;
    const next = await openIfThere(index === 1 ? path : `${path}.${index - 1}`);
    if ((await rotatedIndexOf(held, path)) === index) return { file: next, isAdjacent: true };
    await next?.close();
  }
  return { file: await openIfThere(path), isAdjacent: false };
}

/** `undefined` when it has been removed, or never had a number. */
async function rotatedIndexOf(held: FileHandle, path: string): Promise<number | undefined> {
  const { ino, dev } = await held.stat();
  for (let index = 1; index < MAX_ROTATED_FILES; index++) {
    const found = await stat(`${path}.${index}`).catch(() => undefined);
    if (found === undefined) return undefined;
    if (found.ino === ino && found.dev === dev) return index;
  }
  return undefined;
}

interface RotatedWish {
  readonly path: string;
  /** The file that has them not. */
  readonly current: FileHandle;
  readonly lines: number;
}

/** What the current file lacks is in the rotated ones, the newest first. */
async function* lastLinesOfRotated(
  { path, current, lines }: RotatedWish,
  isCounted: IsCounted,
): AsyncGenerator<string> {
  const found: { readonly file: FileHandle; readonly position: number }[] = [];
  const seen = new Set([(await current.stat()).ino]);
  try {
    let missing = lines;
    for (let index = 1; missing > 0 && index < MAX_ROTATED_FILES; index++) {
      const file = await openIfThere(`${path}.${index}`);
      if (file === undefined) break;
      const { ino } = await file.stat();
      // A rotation since the last one was opened moves it on by one.
      if (seen.has(ino)) {
        await file.close();
        continue;
      }
      seen.add(ino);
      const start = await startOfLastLines(file, missing, isCounted);
      found.push({ file, position: start.position });
      missing = start.missing;
    }
    for (const { file, position } of found.reverse()) {
      const buffer = createLineBuffer();
      for await (const chunk of file.createReadStream({ start: position, autoClose: false })) {
        const text = buffer.push(Buffer.from(chunk));
        if (text !== "") yield text;
      }
      const rest = buffer.rest();
      if (rest !== "") yield `${rest}\n`;
    }
  } finally {
    for (const { file } of found) await file.close();
  }
}

/** Whether a line that begins so is one of those that are asked for. */
type IsCounted = (head: Buffer) => boolean;

const HEAD_BYTES = 32;
const TAG_OFFSET = "[2026-01-15 10:30:45] ".length;

function countedBy(output: OutputName | undefined): IsCounted {
  if (output === undefined) return () => true;
  const tag = Buffer.from(`[${output}`);
  return (head) => head.subarray(TAG_OFFSET, TAG_OFFSET + tag.length).equals(tag);
}

/** Where the last `lines` lines begin, and how many fewer the file holds. */
async function startOfLastLines(
  file: FileHandle,
  lines: number,
  isCounted: IsCounted,
): Promise<{ readonly position: number; readonly missing: number }> {
  const { size } = await file.stat();
  if (lines === 0) return { position: size, missing: 0 };
  const oldest = Math.max(0, size - MAX_TAIL_BYTES);
  // Behind the block stands the beginning of the one after it: a line may begin at the end of one.
  const block = Buffer.alloc(BLOCK_BYTES + HEAD_BYTES);
  let missing = lines;
  for (let end = size; end > oldest; ) {
    const start = Math.max(oldest, end - BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, Math.min(size, end + HEAD_BYTES) - start, start);
    const head = (at: number) => block.subarray(at, Math.min(bytesRead, at + HEAD_BYTES));
    for (let at = Math.min(bytesRead, end - start) - 1; at >= 0; at--) {
      if (block[at] !== 0x0a || start + at === size - 1 || !isCounted(head(at + 1))) continue;
      missing--;
      if (missing === 0) return { position: start + at + 1, missing: 0 };
    }
    // The first line has no line end before it.
    if (start === 0 && size > 0 && isCounted(head(0))) missing--;
    end = start;
  }
  // Beyond the bound there are lines, but nobody needs that many.
  return { position: oldest, missing: oldest > 0 ? 0 : missing };
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
