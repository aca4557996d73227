import type { MediaSample } from "../driver.ts";

/** Longer than any line of FFmpeg's; what is longer is dropped to its end and counted. */
const MAX_LINE_BYTES = 1024;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Reads `-progress` blocks (`key=value` lines up to `progress=continue|end`), however the bytes are cut. */
export interface ProgressParser {
  feed(bytes: Uint8Array): void;
  /** Bytes are missing from here on: nothing counts until a block has ended. */
  resync(): void;
  /** The last whole block. */
  latest(): MediaSample | undefined;
  /** Lines that were too long. */
  truncations(): number;
}

export function createProgressParser(): ProgressParser {
  const line = Buffer.alloc(MAX_LINE_BYTES);
  let length = 0;
  let isOverlong = false;
  let isSkipping = false;
  let truncations = 0;
  let block = new Map<string, string>();
  let latest: MediaSample | undefined;

  const endLine = () => {
    if (isOverlong) truncations++;
    else if (length > 0) takeLine(line.toString("latin1", 0, length));
    length = 0;
    isOverlong = false;
  };

  const takeLine = (text: string) => {
    const equals = text.indexOf("=");
    if (equals < 1) return;
    const key = text.slice(0, equals).trim();
    const value = text.slice(equals + 1).trim();
    if (key !== "progress") {
      // A block has a dozen keys; a stream of others must not grow it.
      if (COUNTERS.has(key)) block.set(key, value);
      return;
    }
    if (!isSkipping) latest = toSample(block, value);
    isSkipping = false;
    block = new Map();
  };

  return {
    feed: (bytes) => {
      for (const byte of bytes) {
        if (byte === LINE_FEED || byte === CARRIAGE_RETURN) endLine();
        else if (length < MAX_LINE_BYTES) line[length++] = byte;
        else isOverlong = true;
      }
    },
    resync: () => {
      isSkipping = true;
      length = 0;
      isOverlong = false;
      block = new Map();
    },
    latest: () => latest,
    truncations: () => truncations,
  };
}

const COUNTERS = new Set(["frame", "out_time_us", "out_time_ms", "total_size", "drop_frames"]);

function toSample(block: ReadonlyMap<string, string>, progress: string): MediaSample {
  return {
    frames: counter(block.get("frame")),
    // FFmpeg's `out_time_ms` is in microseconds too; older releases have only that.
    outTimeUs: counter(block.get("out_time_us")) ?? counter(block.get("out_time_ms")),
    totalBytes: counter(block.get("total_size")),
    droppedFrames: counter(block.get("drop_frames")),
    isEnded: progress === "end",
  };
}

/** `N/A`, negative (before the first frame, or wrapped) and inexact numbers are unknown, not zero. */
function counter(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
