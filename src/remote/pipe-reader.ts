import { Readable } from "node:stream";
import { AppError } from "../base/errors.ts";
import { createReceiveWindow, type WindowLedger } from "./receive-window.ts";

/** The receiving end of a pipe. It holds at most what it has granted. */
export interface PipeReader {
  readonly stream: Readable;
  readonly total: number;
  readonly isEnded: boolean;
  /** Received, and not taken by whoever reads. */
  readonly heldBytes: number;
  /** Monotonic: when something was last taken of what was held, or began to be held. */
  readonly progressMs: number;
  /** Monotonic: when bytes last came; `undefined`: never. */
  readonly receivedMs: number | undefined;
  /** Throws `invalid`: the sender has gone further than its credit. */
  push(pieces: readonly Uint8Array[], length: number): void;
  /** Throws `invalid`: what arrived is not what was sent. */
  end(total: number): void;
  fail(error: AppError): void;
}

export interface PipeReaderDeps {
  readonly ledger: WindowLedger;
  readonly now: () => { readonly nowMs: number; readonly rttMs: number };
  /** The sender may go on to this total. */
  readonly onGrant: (upTo: number) => void;
  /** Nobody reads any more, and the end has not come. */
  readonly onAbandoned: () => void;
}

const HIGH_WATER_BYTES = 128 * 1024;

export function createPipeReader(deps: PipeReaderDeps): PipeReader {
  const window = createReceiveWindow(deps.ledger);
  let held: Uint8Array[] = [];
  let total = 0;
  let isWanted = false;
  let isEnded = false;
  let passedOn = 0;
  let progressMs = 0;
  let receivedMs: number | undefined;

  const heldBytes = () => (stream.destroyed ? 0 : total - passedOn + stream.readableLength);
  const consumed = (bytes: number) => {
    const now = deps.now();
    passedOn += bytes;
    progressMs = now.nowMs;
    const upTo = window.consumed(bytes, now);
    if (upTo !== undefined && !isEnded) deps.onGrant(upTo);
  };
  const flush = () => {
    let taken = 0;
    let passed = 0;
    while (isWanted && taken < held.length) {
      const bytes = held[taken++];
      if (bytes === undefined) break;
      isWanted = stream.push(bytes);
      passed += bytes.length;
    }
    if (passed > 0) consumed(passed);
    held = taken === held.length ? [] : held.slice(taken);
    if (held.length === 0 && isEnded && isWanted) {
      isWanted = false;
      stream.push(null);
    }
  };
  const stream = new Readable({
    highWaterMark: HIGH_WATER_BYTES,
    read: () => {
      isWanted = true;
      flush();
    },
    destroy: (error, done) => {
      held = [];
      window.close();
      if (!isEnded) deps.onAbandoned();
      done(error);
    },
  });
  stream.on("error", () => undefined);

  return {
    stream,
    get total() {
      return total;
    },
    get isEnded() {
      return isEnded;
    },
    push: (pieces, length) => {
      if (isEnded) throw new AppError("invalid", "bytes came after the end of their pipe");
      if (!window.received(length)) {
        throw new AppError("invalid", `bytes came beyond the credit of ${window.grantedTo}`);
      }
      const { nowMs } = deps.now();
      receivedMs = nowMs;
      if (heldBytes() === 0) progressMs = nowMs;
      total += length;
      // Whoever has gone needs no more; what was on its way is let through, so that the sender can say its end.
      if (stream.destroyed) {
        consumed(length);
        return;
      }
      for (const piece of pieces) held.push(piece);
      flush();
    },
    get heldBytes() {
      return heldBytes();
    },
    get progressMs() {
      return progressMs;
    },
    get receivedMs() {
      return receivedMs;
    },
    end: (sent) => {
      if (sent !== total) throw new AppError("invalid", `a pipe ended after ${sent} bytes, and ${total} arrived`);
      isEnded = true;
      flush();
    },
    fail: (error) => {
      isEnded = true;
      stream.destroy(error);
    },
  };
}
