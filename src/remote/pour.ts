import type { Readable, Writable } from "node:stream";
import { createTurnBatch } from "../base/turn-batch.ts";

/** What may wait in a socket before its channel is held. */
const HOLD_ABOVE_BYTES = 256 * 1024;

/** Brings what a channel gives to a socket, at the socket's pace, and its end with it. `onMoved`: something was handed on. */
export function pour(source: Readable, target: Writable, onMoved?: () => void): void {
  const write = createTurnBatch(target);
  source.on("data", (bytes: Uint8Array) => {
    onMoved?.();
    if (target.destroyed || target.writableEnded) return;
    write(bytes);
    if (target.writableLength >= HOLD_ABOVE_BYTES) source.pause();
  });
  target.on("drain", () => source.resume());
  source.once("end", () => target.end());
}
