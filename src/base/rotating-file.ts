import { constants } from "node:fs";
import { appendFile, rename, rm, stat } from "node:fs/promises";
import { errnoOf } from "./errors.ts";

/**
 * A text file that is appended to and rotated by size: `x.log`, `x.log.1` (newer) … `x.log.<keep - 1>` (oldest). No
 * descriptor is held between writes. Writes come one after another; a disk that refuses or hangs costs text, never
 * memory beyond the bound, and never an error to the caller.
 */
export interface RotatingFile {
  /** Queues whole lines, each ended by `\n`. Beyond the bound the text is dropped and its lines counted. */
  append(text: string): void;
  /** Resolves when what was queued before has been written or dropped. */
  idle(): Promise<void>;
  /** Why the last write failed; undefined while all is well. */
  failure(): string | undefined;
}

export interface RotatingFileOptions {
  readonly path: string;
  readonly maxFileBytes: number;
  /** Files in all, the current one included. */
  readonly keepFiles: number;
  readonly maxQueuedBytes: number;
  /** A line that says how many were lost, once the disk takes text again. */
  readonly lostLine: (lines: number) => string;
  readonly onRotate?: () => void;
}

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

export function createRotatingFile(options: RotatingFileOptions): RotatingFile {
  let queue: string[] = [];
  let queuedBytes = 0;
  let lostLines = 0;
  let sizeBytes: number | undefined;
  let failure: string | undefined;
  let draining: Promise<void> | undefined;

  const write = async (text: string): Promise<void> => {
    sizeBytes ??= await sizeOf(options.path);
    const bytes = Buffer.byteLength(text);
    if (sizeBytes > 0 && sizeBytes + bytes > options.maxFileBytes) {
      await rotateFiles(options.path, options.keepFiles);
      sizeBytes = 0;
      options.onRotate?.();
    }
    await appendFile(options.path, text, { flag: APPEND, mode: 0o600 });
    sizeBytes += bytes;
  };

  const drain = async (): Promise<void> => {
    while (queue.length > 0) {
      const texts = queue;
      queue = [];
      queuedBytes = 0;
      const text = `${lostLines > 0 ? options.lostLine(lostLines) : ""}${texts.join("")}`;
      try {
        await write(text);
        lostLines = 0;
        failure = undefined;
      } catch (thrown) {
        failure = errnoOf(thrown) ?? "write failed";
        lostLines += countLines(texts);
        sizeBytes = undefined;
      }
    }
    draining = undefined;
  };

  return {
    append: (text) => {
      if (text === "") return;
      const bytes = Buffer.byteLength(text);
      if (queuedBytes + bytes > options.maxQueuedBytes) {
        lostLines += countLines([text]);
        return;
      }
      queue.push(text);
      queuedBytes += bytes;
      draining ??= drain();
    },
    idle: async () => {
      await draining;
    },
    failure: () => failure,
  };
}

/** Each file gets the next number, the last one goes. */
export async function rotateFiles(path: string, keepFiles: number): Promise<void> {
  if (keepFiles <= 1) {
    await rm(path, { force: true });
    return;
  }
  for (let index = keepFiles - 1; index >= 1; index--) {
    const from = index === 1 ? path : `${path}.${index - 1}`;
    await rename(from, `${path}.${index}`).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== "ENOENT") throw thrown;
    });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

function countLines(texts: readonly string[]): number {
  let count = 0;
  for (const text of texts) for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}
