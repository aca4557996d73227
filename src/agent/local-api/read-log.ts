import { stat } from "node:fs/promises";
import type { Clock } from "../../base/clock.ts";
import type { OutputName } from "../../contract/fleet/log-line.ts";
import { amountOf, type LogAmounts, type LogLedger, type LogPage } from "../runtime/output/log-ledger.ts";
import { type HeldLogFile, holdLogFile, holdNextLogFile, type LogPosition, rotatedIndexOf } from "./held-log-file.ts";
import { createLineBuffer } from "./line-buffer.ts";

export interface ReadLogOptions {
  readonly path: string;
  /** Lines from the end to begin with, out of all files that rotation has kept. */
  readonly lines: number;
  /** Of a session: only lines of this output count as lines to begin with. All are given. */
  readonly output?: OutputName | undefined;
  /** Goes on with what is written later, across truncation and rotation, until the signal aborts. */
  readonly follow: boolean;
  /** Told when lines are missing, and why. `lost` is what they stand for, and absent where that is not known: then they only may be. */
  readonly onGap?: (reason: string, lost?: LogAmounts) => void;
  /** What the log's writer tells, where it writes in this process. */
  readonly ledger?: LogLedger | undefined;
}

const POLL_MS = 250;
const BLOCK_BYTES = 65_536;
/** More than any log keeps (`log.keepFiles`). */
const MAX_ROTATED_FILES = 100;
/** How far back the last lines are searched for. */
const MAX_TAIL_BYTES = 8 * 1024 * 1024;

/**
 * Whole lines of a log file, in pieces of about 64 KiB. Holds one descriptor and nothing else between two reads, and
 * takes the next piece only when it is asked for: a slow reader costs no memory. A file that is not there is empty.
 */
export async function* readLog(options: ReadLogOptions, clock: Clock, signal: AbortSignal): AsyncGenerator<string> {
  const page = options.ledger?.open(options.path);
  try {
    yield* readPage(options, page, { clock, signal });
  } finally {
    page?.close();
  }
}

async function* readPage(
  options: ReadLogOptions,
  page: LogPage | undefined,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  const { path, lines, follow } = options;
  const block = Buffer.alloc(BLOCK_BYTES);
  const buffer = createLineBuffer();
  const begun = page?.now();
  let held = await holdLogFile(path, page);
  let position = 0;
  try {
    if (held !== undefined) {
      const isCounted = countedBy(options.output);
      const start = await startOfLastLines(held, lines, isCounted);
      position = start.position;
      if (start.missing > 0) yield* lastLinesOfRotated({ path, current: held, lines: start.missing }, isCounted);
    }
    while (!signal.aborted) {
      const bytes = (await held?.read(block, position)) ?? 0;
      if (bytes > 0) {
        position += bytes;
        const text = buffer.push(block.subarray(0, bytes));
        if (text !== "") yield text;
        continue;
      }
      if (!follow) break;
      const change = await changeOf(held, path, position);
      if (change === "truncated") {
        options.onGap?.("the log was cut off while it was read");
        await held?.file.close();
        held = await holdLogFile(path, page);
        position = 0;
        continue;
      }
      if (change === "replaced") {
        // The writer may have added to the old file between our last read and its rotation.
        if (held !== undefined && (await held.sizeBytes()) > position) continue;
        const at = positionAfter(held, begun, page);
        const next = await holdNextLogFile(path, held, page && at && { page, position: at });
        if (next !== undefined) {
          if (next.lost === "unknown") options.onGap?.(TOO_SLOW);
          else if (next.lost !== "nothing" && isSome(next.lost)) options.onGap?.(TOO_SLOW, next.lost);
          await held?.file.close();
          held = next.held;
          position = 0;
          continue;
        }
      }
      await clock.delay(POLL_MS, signal).catch(() => undefined);
    }
    const rest = buffer.rest();
    if (rest !== "" && !signal.aborted) yield `${rest}\n`;
  } finally {
    await held?.file.close();
  }
}

const TOO_SLOW = "the log was rotated away faster than it was read";

function isSome(lost: LogAmounts): boolean {
  const { lines, bytes } = amountOf(lost);
  return lines > 0 || bytes > 0;
}

/** Behind the whole file that is held, or where the log was when there was none. */
function positionAfter(
  held: HeldLogFile | undefined,
  begun: LogPosition | undefined,
  page: LogPage | undefined,
): LogPosition | undefined {
  if (held === undefined) return begun;
  const noted = held.noted();
  return noted && page && { number: noted.number, amounts: noted.ends ?? page.now().amounts };
}

async function changeOf(
  held: HeldLogFile | undefined,
  path: string,
  position: number,
): Promise<"none" | "truncated" | "replaced"> {
  const current = await stat(path).catch(() => undefined);
  if (current === undefined) return "none";
  if (held === undefined) return "replaced";
  const { ino, dev, size } = await held.file.stat();
  if (ino !== current.ino || dev !== current.dev) return "replaced";
  return size < position ? "truncated" : "none";
}

interface RotatedWish {
  readonly path: string;
  /** The file that has them not. */
  readonly current: HeldLogFile;
  readonly lines: number;
}

/** What the current file lacks is in the rotated ones, the newest first. */
async function* lastLinesOfRotated(
  { path, current, lines }: RotatedWish,
  isCounted: IsCounted,
): AsyncGenerator<string> {
  const found: { readonly held: HeldLogFile; readonly position: number }[] = [];
  const seen = new Set([current.inode]);
  try {
    let missing = lines;
    // It may have got a number itself meanwhile; what is newer is read after it.
    const first = ((await rotatedIndexOf(current, path)) ?? 0) + 1;
    for (let index = first; missing > 0 && index < MAX_ROTATED_FILES; index++) {
      const held = await holdLogFile(`${path}.${index}`, undefined);
      if (held === undefined) break;
      // A rotation since the last one was opened moves it on by one.
      if (seen.has(held.inode)) {
        await held.file.close();
        continue;
      }
      seen.add(held.inode);
      const start = await startOfLastLines(held, missing, isCounted);
      found.push({ held, position: start.position });
      missing = start.missing;
    }
    for (const { held, position } of found.reverse()) {
      const buffer = createLineBuffer();
      for await (const chunk of held.file.createReadStream({ start: position, autoClose: false })) {
        const text = buffer.push(Buffer.from(chunk));
        if (text !== "") yield text;
      }
      const rest = buffer.rest();
      if (rest !== "") yield `${rest}\n`;
    }
  } finally {
    for (const { held } of found) await held.file.close();
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
  held: HeldLogFile,
  lines: number,
  isCounted: IsCounted,
): Promise<{ readonly position: number; readonly missing: number }> {
  const { file } = held;
  const size = await held.sizeBytes();
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
