import { Duplex } from "node:stream";
import { AppError, messageOf } from "../base/errors.ts";
import type { Carrier } from "./carrier.ts";
import { decodeFrame, encodeControl, encodeData, MAX_DATA_BYTES, type PipeName } from "./frame.ts";
import { creditBody, finBody } from "./frame-bodies.ts";

export interface CarrierDuplexOptions {
  /** Which end this is: each direction is a pipe of its own. */
  readonly side: "operator" | "box";
  /** That the other end may send before the reader here has taken any: what of it is lost when the carrier breaks. */
  readonly windowBytes: number;
}

const CHANNEL = 1;
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * A carrier as a stream of bytes, for two ends that seal what they say by a protocol of their own. No more than the window is ever
 * held, whatever the router does. It ends in error with `unavailable` when the carrier breaks, and with
 * `conflict` for what no such end sends. What was written may still be on its way when its callback is called.
 */
export function createCarrierDuplex(carrier: Carrier, { side, windowBytes }: CarrierDuplexOptions): Duplex {
  const [mine, theirs]: readonly PipeName[] = side === "operator" ? ["in", "out"] : ["out", "in"];
  if (mine === undefined || theirs === undefined) throw new AppError("internal", "an end without a pipe");
  let held: Uint8Array[] = [];
  let mayPush = false;
  let seqOut = 0;
  let seqIn = 0;
  let received = 0;
  let taken = 0;
  let grantedTo = windowBytes;
  let isDone = false;
  let isEndPushed = false;
  let isCarrierOver = false;

  let waiting: Uint8Array[] = [];
  let onTaken: (() => void) | undefined;
  let sent = 0;
  let mayReach = 0;
  let isFull = false;

  const grant = () => {
    isFull = !carrier.send([encodeControl({ seq: 0, channel: CHANNEL, body: creditBody(theirs, grantedTo) })]);
  };
  const flow = () => {
    while (mayPush) {
      const piece = held.shift();
      if (piece === undefined) break;
      taken += piece.length;
      mayPush = duplex.push(piece);
    }
    if (isDone && held.length === 0 && !isEndPushed) {
      isEndPushed = true;
      duplex.push(null);
    }
    if (taken + windowBytes - grantedTo < windowBytes / 4 || isCarrierOver) return;
    grantedTo = taken + windowBytes;
    grant();
  };
  const end = () => {
    isDone = true;
    flow();
  };
  const pump = () => {
    while (waiting.length > 0 && !isFull && mayReach > sent) {
      const bytes = takeUpTo(waiting, Math.min(MAX_DATA_BYTES, mayReach - sent));
      sent += bytes.length;
      seqOut += 1;
      isFull = !carrier.send(encodeData({ seq: seqOut, channel: CHANNEL, pipe: mine, bytes }));
    }
    if (waiting.length > 0) return;
    const done = onTaken;
    onTaken = undefined;
    done?.();
  };
  const write = (chunks: Uint8Array[], done: () => void) => {
    waiting = chunks.filter(({ length }) => length > 0);
    onTaken = done;
    pump();
  };

  const duplex = new Duplex({
    readableHighWaterMark: HIGH_WATER_BYTES,
    writableHighWaterMark: HIGH_WATER_BYTES,
    read: () => {
      mayPush = true;
      flow();
    },
    write: (chunk: Uint8Array, _encoding, done) => write([chunk], done),
    writev: (chunks, done) =>
      write(
        chunks.map(({ chunk }) => chunk as Uint8Array),
        done,
      ),
    final: (done) => {
      seqOut += 1;
      carrier.send([encodeControl({ seq: seqOut, channel: CHANNEL, body: finBody(mine, sent) })]);
      done();
    },
    destroy: (error, done) => {
      held = [];
      waiting = [];
      // In order, so that the last that was said arrives.
      if (error === null) carrier.finish();
      else carrier.cut();
      done(error);
    },
  });

  const take = (pieces: readonly Uint8Array[]) => {
    const frame = decodeFrame(pieces);
    if (frame.channel !== CHANNEL)
      throw new AppError("invalid", `channel: given ${frame.channel}; allowed: ${CHANNEL}`);
    if ("pieces" in frame) {
      received += frame.length;
      seqIn += 1;
      if (isDone || frame.pipe !== theirs || frame.seq !== seqIn || received > grantedTo) {
        throw new AppError("invalid", "bytes came that were not asked for");
      }
      held.push(...frame.pieces);
      flow();
      return;
    }
    const { body } = frame;
    if (body.case === "credit") {
      mayReach = Math.max(mayReach, Number(body.value.upTo));
      pump();
    } else if (body.case === "fin") {
      if (Number(body.value.total) !== received) throw new AppError("invalid", "the end came before all bytes");
      end();
    } else throw new AppError("invalid", `a frame of ${body.case ?? "nothing"} came; allowed: data, credit, fin`);
  };

  carrier.listen({
    onFrame: (pieces) => {
      if (duplex.destroyed) return;
      try {
        take(pieces);
      } catch (thrown) {
        duplex.destroy(new AppError("conflict", `what came was changed on its way: ${messageOf(thrown)}`));
      }
    },
    onDrain: () => {
      isFull = false;
      pump();
    },
    onEnd: ({ reason, message }) => {
      isCarrierOver = true;
      if (duplex.destroyed || isDone || duplex.readableEnded) return;
      if (reason !== "peer-done") return void duplex.destroy(new AppError("unavailable", message));
      // It has left without a word: what it sent before is still read.
      end();
    },
  });
  grant();
  return duplex;
}

/** The first of them, cut where that is longer; many small ones as one. */
function takeUpTo(chunks: Uint8Array[], bytes: number): Uint8Array {
  const first = chunks[0];
  if (first !== undefined && first.length > bytes) {
    chunks[0] = first.subarray(bytes);
    return first.subarray(0, bytes);
  }
  const taken: Uint8Array[] = [];
  let count = 0;
  for (let next = chunks[0]; next !== undefined && count + next.length <= bytes; next = chunks[0]) {
    taken.push(next);
    count += next.length;
    chunks.shift();
  }
  return taken.length === 1 && taken[0] !== undefined ? taken[0] : Buffer.concat(taken);
}
