import type { MediaSample } from "../driver.ts";

/** Longer than any line of FFmpeg's; what is longer is dropped to its end and counted. */
const MAX_LINE_BYTES = 1024;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const DIGIT_ZERO = 0x30;

/** Reads `-progress` blocks (`key=value` lines up to `progress=continue|end`), however the bytes are cut. */
export interface ProgressParser {
  /** `writtenAtWallMs`: when the last of them were written. */
  feed(bytes: Uint8Array, writtenAtWallMs?: number): void;
  /** Bytes are missing from here on: nothing counts until a block has ended. */
  resync(): void;
  /** Bytes are left out up to here, where a block begins. */
  skipToBlock(): void;
  /** The last whole block. */
  latest(): MediaSample | undefined;
  /** Lines that were too long. */
  truncations(): number;
}

/** Hundreds of streams write a block each second: nothing is made of a line but the number in it. */
export function createProgressParser(): ProgressParser {
  const line = Buffer.alloc(MAX_LINE_BYTES);
  let length = 0;
  let isOverlong = false;
  let isSkipping = false;
  let truncations = 0;
  let counters: Counters = {};
  let latest: MediaSample | undefined;
  let writtenAtMs: number | undefined;

  const endLine = () => {
    if (isOverlong) truncations++;
    else if (length > 0) takeLine();
    length = 0;
    isOverlong = false;
  };

  const takeLine = () => {
    const key = KEYS.find(({ bytes }) => isKey(bytes, line, length));
    if (key === undefined) return;
    if (key.name !== "progress") {
      counters[key.name] = counterAt(line, key.bytes.length, length);
      return;
    }
    if (!isSkipping) latest = toSample(counters, isEnd(line, key.bytes.length, length), writtenAtMs);
    isSkipping = false;
    counters = {};
  };

  const forget = () => {
    isSkipping = false;
    length = 0;
    isOverlong = false;
    counters = {};
  };

  return {
    feed: (bytes, writtenAtWallMs) => {
      writtenAtMs = writtenAtWallMs;
      for (const byte of bytes) {
        if (byte === LINE_FEED || byte === CARRIAGE_RETURN) endLine();
        else if (length < MAX_LINE_BYTES) line[length++] = byte;
        else isOverlong = true;
      }
    },
    resync: () => {
      forget();
      isSkipping = true;
    },
    skipToBlock: forget,
    latest: () => latest,
    truncations: () => truncations,
  };
}

const COUNTERS = ["frame", "out_time_us", "out_time_ms", "total_size", "drop_frames"] as const;

type Counters = { [Name in (typeof COUNTERS)[number]]?: number | undefined };

const KEYS = [...COUNTERS, "progress" as const].map((name) => ({ name, bytes: Buffer.from(`${name}=`) }));

function isKey(key: Uint8Array, line: Uint8Array, length: number): boolean {
  if (length < key.length) return false;
  for (let index = 0; index < key.length; index++) {
    if (line[index] !== key[index]) return false;
  }
  return true;
}

function toSample(counters: Counters, isEnded: boolean, writtenAtWallMs: number | undefined): MediaSample {
  return {
    frames: counters.frame,
    // FFmpeg's `out_time_ms` is in microseconds too; older releases have only that.
    outTimeUs: counters.out_time_us ?? counters.out_time_ms,
    totalBytes: counters.total_size,
    droppedFrames: counters.drop_frames,
    isEnded,
    writtenAtWallMs,
  };
}

function isEnd(line: Buffer, from: number, to: number): boolean {
  return to - from < 16 && line.toString("latin1", from, to).trim() === "end";
}

/** `N/A`, negative (before the first frame, or wrapped) and inexact numbers are unknown, not zero. */
function counterAt(line: Uint8Array, start: number, end: number): number | undefined {
  let from = start;
  let to = end;
  while (from < to && line[from] === SPACE) from++;
  while (to > from && line[to - 1] === SPACE) to--;
  let value = 0;
  for (let index = from; index < to; index++) {
    const digit = (line[index] ?? 0) - DIGIT_ZERO;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return from < to && Number.isSafeInteger(value) ? value : undefined;
}
