import { createTurnBatch, type TurnBatchTarget } from "../base/turn-batch.ts";

/** A connection that frames are written to: a stream of Node, or one that is written like it. */
export interface FrameTarget extends TurnBatchTarget {
  /** Bytes that were written and that the system has not taken. */
  readonly writableLength: number;
}

/** What goes before each frame, by how many bytes it has. */
export interface FrameHead {
  readonly lengthOf: (frameBytes: number) => number;
  readonly write: (target: Buffer, frameBytes: number) => void;
}

/** Below this a copy is cheaper than another piece. */
const COPY_BYTES = 2048;
/** What may wait here for the connection, so that it always has something to send. */
const HOLD_ABOVE_BYTES = 256 * 1024;
const RELEASE_BELOW_BYTES = 64 * 1024;

/**
 * Writes frames to a connection, which leave together at the end of the event loop's turn. Always taken; `false`: no more before `onDrain`,
 * for as much waits as keeps the connection busy.
 */
export function createFrameWriter(
  target: FrameTarget,
  head: FrameHead,
  onDrain: () => void,
): (pieces: readonly Uint8Array[]) => boolean {
  let isFull = false;
  const write = createTurnBatch(target, () => {
    if (!isFull || target.writableLength > RELEASE_BELOW_BYTES) return;
    isFull = false;
    onDrain();
  });
  return (pieces) => {
    for (const piece of withHead(head, pieces)) write(piece);
    if (target.writableLength >= HOLD_ABOVE_BYTES) isFull = true;
    return !isFull;
  };
}

/** What is short goes with the head, as a copy: a frame is then one piece, and one of data two. */
export function withHead(head: FrameHead, pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  const first = pieces[0]?.length ?? 0;
  const copied = bytes <= COPY_BYTES ? pieces.length : first <= COPY_BYTES ? 1 : 0;
  const headBytes = head.lengthOf(bytes);
  const copiedBytes = copied === pieces.length ? bytes : copied === 1 ? first : 0;
  const begin = Buffer.allocUnsafe(headBytes + copiedBytes);
  head.write(begin, bytes);
  let at = headBytes;
  for (let index = 0; index < copied; index++) {
    const piece = pieces[index];
    if (piece === undefined) break;
    begin.set(piece, at);
    at += piece.length;
  }
  return copied === pieces.length ? [begin] : [begin, ...pieces.slice(copied)];
}
