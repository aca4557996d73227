import { type EngineEntry, parseEngineTime } from "../engine-output.ts";

const LINE_END = 0x0a;
const SPACE = 0x20;
/** `2026-11-21T18:16:33.454626440+00:00`. */
const MAX_TIME_BYTES = 40;
/** Counted from where a line begins, so that each reading cuts it alike. */
const PIECE_BYTES = 32_768;

/**
 * Takes apart a pod's log, asked for with `timestamps`: a time and a space before each line. Long lines come in pieces. Lines
 * without a time are the node's own words about the log, and left out. A log tells no two outputs apart: all is `stdout`.
 */
export async function* readLogLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEntry> {
  let held = Buffer.alloc(0);
  /** Of the line that is being read; undefined before its time is known, `null` where it has none. */
  let timeNs: bigint | null | undefined;

  const entry = (bytes: Buffer): readonly EngineEntry[] =>
    typeof timeNs === "bigint" ? [{ output: "stdout", bytes, timeNs }] : [];

  for await (const piece of pieces) {
    held = Buffer.concat([held, Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)]);
    for (;;) {
      const end = held.indexOf(LINE_END);
      if (timeNs === undefined) {
        const head = held.subarray(0, MAX_TIME_BYTES);
        const space = head.indexOf(SPACE);
        const isWhole = end >= 0 || space >= 0 || held.length >= MAX_TIME_BYTES;
        if (!isWhole) break;
        const isTimed = space >= 0 && (end < 0 || space < end);
        timeNs = (isTimed ? parseEngineTime(head.subarray(0, space).toString("latin1")) : undefined) ?? null;
        if (timeNs !== null) {
          held = held.subarray(space + 1);
          continue;
        }
      }
      if (end < 0 && held.length < PIECE_BYTES) break;
      if (end >= 0 && end < PIECE_BYTES) {
        yield* entry(held.subarray(0, end + 1));
        held = held.subarray(end + 1);
        timeNs = undefined;
      } else {
        yield* entry(held.subarray(0, PIECE_BYTES));
        held = held.subarray(PIECE_BYTES);
      }
    }
  }
  if (held.length > 0) yield* entry(held);
}
