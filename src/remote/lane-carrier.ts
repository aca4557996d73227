import type { TLSSocket } from "node:tls";
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { createPieceReader, MESSAGE_PREFIX_BYTES, writePrefix } from "../base/grpc/grpc-messages.ts";
import { createTurnBatch } from "../base/turn-batch.ts";
import type { Carrier, CarrierEnd, CarrierHandlers } from "./carrier.ts";

/** Below this a copy is cheaper than another piece. */
const COPY_BYTES = 2048;
/** What may wait here for the connection, so that it always has something to send. */
const HOLD_ABOVE_BYTES = 256 * 1024;
const RELEASE_BELOW_BYTES = 64 * 1024;
/** The call says that its end lives, and at most so often that the session is in use. */
const BEAT_MS = 10_000;
const ACTIVE_BEAT_MS = 500;
/** How a session ends the call tells, and its last bytes come on the lane: the one is waited for so long after the other. */
const LAST_BYTES_MS = 5000;
const LAST_WORD_MS = 500;

/** A frame whose first byte has this bit is of the link. */
const LINK_BIT = 0x80;
export const ALIVE = new Uint8Array(0);
/** `seq` 1 and nothing else: no session sends such a frame. */
export const ACTIVE = Uint8Array.of(0x08, 0x01);

/** Said on a call by an end whose frames go over a lane. */
export function isBeat(pieces: readonly Uint8Array[]): boolean {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes <= ACTIVE.length;
}

/** Carries frames on a lane, and leaves to the call beside it how it ends. `onBroken`: the lane ended while its call did not. */
export function createLaneCarrier(
  { call, line }: { readonly call: Carrier; readonly line: TLSSocket },
  { clock }: { readonly clock: Clock },
  onBroken: () => void,
): Carrier {
  let handlers: CarrierHandlers | undefined;
  let early: (readonly Uint8Array[])[] = [];
  let earlyEnd: CarrierEnd | undefined;
  let callEnd: CarrierEnd | undefined;
  let isLineOver = false;
  let isLeft = false;
  let isOver = false;
  let isFull = false;
  let beat: Timer | undefined;
  let beatAtMs = Number.NEGATIVE_INFINITY;
  let last: Timer | undefined;

  const over = (end: CarrierEnd) => {
    if (isOver) return;
    isOver = true;
    beat?.clear();
    last?.clear();
    line.end();
    if (end.reason === "peer-done" || isLeft) call.finish();
    else call.cut();
    if (handlers === undefined) earlyEnd = end;
    else handlers.onEnd(end);
  };
  const gone = () => over(callEnd ?? { reason: "broken", message: "the lane through the router ended" });
  const settle = () => {
    if (isOver) return;
    last?.clear();
    if (callEnd !== undefined && isLineOver) return over(callEnd);
    last = clock.timer(callEnd === undefined ? LAST_WORD_MS : LAST_BYTES_MS, () => {
      if (callEnd === undefined) onBroken();
      gone();
    });
  };
  const onLineOver = () => {
    if (isLineOver) return;
    isLineOver = true;
    settle();
  };

  const say = (what: Uint8Array) => {
    if (isOver || isLeft) return;
    beat?.clear();
    beatAtMs = clock.monotonicMs();
    call.send([what]);
    beat = clock.timer(BEAT_MS, () => say(ALIVE));
  };
  const write = createTurnBatch(line, () => {
    if (!isFull || line.writableLength > RELEASE_BELOW_BYTES) return;
    isFull = false;
    handlers?.onDrain();
  });

  const reader = createPieceReader({
    onMessage: (pieces) => {
      if (isOver) return;
      if (handlers === undefined) early.push(pieces);
      else handlers.onFrame(pieces);
    },
  });
  line.on("data", (chunk: Uint8Array) => {
    if (callEnd !== undefined) settle();
    try {
      reader.push(chunk);
    } catch (thrown) {
      over({ reason: "protocol", message: messageOf(thrown) });
      line.destroy();
      return;
    }
    // Frames wait for whoever listens: nothing is read in between.
    if (handlers === undefined && early.length > 0) line.pause();
  });
  line.on("error", () => undefined);
  line.on("end", onLineOver);
  line.on("close", onLineOver);
  call.listen({
    onFrame: () => undefined,
    onDrain: () => undefined,
    onEnd: (end) => {
      callEnd = end;
      settle();
    },
  });
  beat = clock.timer(BEAT_MS, () => say(ALIVE));

  return {
    sessionId: call.sessionId,
    routerId: call.routerId,
    peerClient: call.peerClient,
    listen: (given) => {
      handlers = given;
      const frames = early;
      early = [];
      for (const frame of frames) given.onFrame(frame);
      if (earlyEnd !== undefined) given.onEnd(earlyEnd);
      line.resume();
    },
    send: (pieces) => {
      if (isOver || line.writableEnded || line.destroyed) return true;
      writeFrame(write, pieces);
      const isActivity = ((pieces.find(({ length }) => length > 0)?.[0] ?? LINK_BIT) & LINK_BIT) === 0;
      if (isActivity && clock.monotonicMs() - beatAtMs >= ACTIVE_BEAT_MS) say(ACTIVE);
      if (line.writableLength >= HOLD_ABOVE_BYTES) isFull = true;
      return !isFull;
    },
    finish: () => {
      if (isLeft || isOver) return;
      isLeft = true;
      beat?.clear();
      line.end();
      call.finish();
    },
    cut: () => {
      over({ reason: "broken", message: "this end cut it" });
      line.destroy();
    },
  };
}

function writeFrame(write: (bytes: Uint8Array) => void, pieces: readonly Uint8Array[]): void {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  const [first, ...more] = pieces;
  if (first === undefined) return;
  // What is short goes with the head: a frame is then one piece, and one of data two.
  const along = bytes <= COPY_BYTES ? pieces : first.length <= COPY_BYTES ? [first] : [];
  let at = MESSAGE_PREFIX_BYTES;
  for (const piece of along) at += piece.length;
  const head = Buffer.allocUnsafe(at);
  writePrefix(head, bytes);
  at = MESSAGE_PREFIX_BYTES;
  for (const piece of along) {
    head.set(piece, at);
    at += piece.length;
  }
  write(head);
  if (along === pieces) return;
  if (along.length === 0) write(first);
  for (const piece of more) write(piece);
}
