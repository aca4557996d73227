import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import type { CallStream } from "./call-stream.ts";
import { MESSAGE_PREFIX_BYTES, messagePrefix } from "./grpc-messages.ts";

/** By which both ends agree on a bare call in the handshake of TLS. */
export const BARE_PROTOCOL = "sluice-call/1";
/** What a client says first on a connection for a bare call. The first three letters are those of HTTP/2, for whoever tells that apart. */
export const BARE_PREFACE: Buffer = Buffer.from("PRI * SLUICE-CALL/1\r\n\r\n");

/** Flag of the last record of each side, in place of the flag for compression: as in gRPC-Web. */
const TRAILERS_FLAG = 0x80;
const MAX_TRAILERS_BYTES = 16 * 1024;

/** Names in lower case, values without line breaks. */
export type Trailers = Readonly<Record<string, string>>;

/** One call that has a connection for itself. */
export interface BareStream extends CallStream {
  /** What was read. For whoever reads the connection itself. False: no more until `onResume`. */
  push(bytes: Uint8Array): boolean;
  /** Ends this side with a status. */
  endWith(trailers: Trailers): void;
  /** The other side has sent something that is part of such a call. */
  readonly hasAnswer: boolean;
  readonly isPaused: boolean;
}

export interface BareStreamOptions {
  /** The side that is answered: it is over for it with the other's last. */
  readonly isClient: boolean;
  /** The connection gives its bytes to `push`, and not as `data`. */
  readonly isPushed?: boolean;
}

/**
 * gRPC messages on a connection, without HTTP/2 between: each with its prefix of five bytes, and last from each side a record of trailers,
 * which may be empty. A connection that ends without one has broken. Paused at first.
 */
export function createBareStream(socket: Duplex, { isClient, isPushed = false }: BareStreamOptions): BareStream {
  const events = new EventEmitter();
  const head = new Uint8Array(MESSAGE_PREFIX_BYTES);
  let headFilled = 0;
  /** Of the message under way. */
  let left = 0;
  /** Of the record of trailers, from its flag on. */
  let tail: Buffer | undefined;
  /** What waits while nobody reads. */
  let held: (Uint8Array | "end")[] = [];
  let isFlowing = false;
  let isFlushing = false;
  let isEndRead = false;
  let isEndSaid = false;
  let isEndGiven = false;
  let isAborted = false;
  /** Of the connection. */
  let isOver = false;
  let isClosed = false;
  let hasAnswer = false;
  let rstCode = 0;

  const give = (what: Uint8Array | "end") => {
    if (what !== "end") {
      events.emit("data", what);
      return;
    }
    isEndGiven = true;
    events.emit("end");
    // It was answered: whatever it still had to say nobody hears.
    if (isClient) socket.destroy();
  };
  const deliver = (what: Uint8Array | "end") => {
    if (isFlowing && held.length === 0) give(what);
    else held.push(what);
  };
  const flush = () => {
    isFlushing = false;
    while (isFlowing && !isClosed) {
      const what = held.shift();
      if (what === undefined) break;
      give(what);
    }
    if (!isFlowing || held.length > 0) return;
    if (isOver) finish();
    else if (!socket.destroyed) socket.resume();
  };
  const finish = () => {
    if (isClosed) return;
    isClosed = true;
    held = [];
    events.emit("close");
  };
  const abort = () => {
    if (isEndRead || isAborted) return;
    isAborted = true;
    events.emit("aborted");
  };
  const close = (code = 0) => {
    if (code !== 0 && rstCode === 0) rstCode = code;
    socket.destroy();
  };

  const readTail = (bytes: Uint8Array) => {
    tail = tail === undefined ? Buffer.from(bytes) : Buffer.concat([tail, bytes]);
    if (tail.length < MESSAGE_PREFIX_BYTES) return;
    const length = tail.readUInt32BE(1);
    const isWrong = tail[0] !== TRAILERS_FLAG || length > MAX_TRAILERS_BYTES;
    if (isWrong || tail.length > MESSAGE_PREFIX_BYTES + length) {
      abort();
      close(1);
      return;
    }
    if (tail.length < MESSAGE_PREFIX_BYTES + length) return;
    hasAnswer = true;
    isEndRead = true;
    events.emit("trailers", parseTrailers(tail.subarray(MESSAGE_PREFIX_BYTES)));
    deliver("end");
  };
  const read = (chunk: Uint8Array) => {
    if (isClosed || isAborted || chunk.length === 0) return;
    if (tail !== undefined) {
      readTail(chunk);
      return;
    }
    let at = 0;
    while (at < chunk.length) {
      if (left > 0) {
        const step = Math.min(left, chunk.length - at);
        at += step;
        left -= step;
        hasAnswer ||= left === 0;
      } else if (headFilled === 0 && chunk[at] !== 0) {
        if (at > 0) deliver(chunk.subarray(0, at));
        readTail(chunk.subarray(at));
        return;
      } else {
        head[headFilled++] = chunk[at++] ?? 0;
        if (headFilled < MESSAGE_PREFIX_BYTES) continue;
        headFilled = 0;
        left = ((head[1] ?? 0) * 0x1000000 + (((head[2] ?? 0) << 16) | ((head[3] ?? 0) << 8) | (head[4] ?? 0))) >>> 0;
      }
    }
    deliver(chunk);
  };

  const endWith = (trailers: Trailers) => {
    if (isEndSaid || socket.destroyed) return;
    isEndSaid = true;
    const text = Object.entries(trailers).map(([name, value]) => `${name}: ${value}\r\n`);
    const bytes = Buffer.from(text.join(""), "latin1");
    const prefix = messagePrefix(bytes.length);
    prefix[0] = TRAILERS_FLAG;
    socket.write(Buffer.concat([prefix, bytes]));
    // Who was asked says nothing more; who asks may still be answered.
    if (!isClient) socket.end();
  };

  if (!isPushed) socket.on("data", read);
  socket.pause();
  // Of a connection that ended without a last record `close` tells.
  socket.on("error", () => undefined);
  socket.once("end", () => {
    abort();
    if (isAborted) socket.destroy();
  });
  socket.once("close", () => {
    abort();
    isOver = true;
    // Who was answered whole may take its time to read it.
    if (!isClient || isAborted || held.length === 0) finish();
  });

  return {
    get aborted() {
      return isAborted;
    },
    get closed() {
      return isClosed;
    },
    get destroyed() {
      return socket.destroyed;
    },
    get rstCode() {
      return rstCode;
    },
    get readableEnded() {
      return isEndGiven;
    },
    get writableEnded() {
      return isEndSaid;
    },
    get writableLength() {
      return socket.writableLength;
    },
    get hasAnswer() {
      return hasAnswer;
    },
    get isPaused() {
      return !isFlowing;
    },
    on: (event, listener) => events.on(event, listener),
    once: (event, listener) => events.once(event, listener),
    off: (event, listener) => events.off(event, listener),
    push: (bytes) => {
      read(bytes);
      return isFlowing;
    },
    pause: () => {
      isFlowing = false;
      socket.pause();
    },
    resume: () => {
      if (isFlowing) return;
      isFlowing = true;
      if (isFlushing) return;
      isFlushing = true;
      process.nextTick(flush);
    },
    unshift: (bytes) => {
      if (bytes.length > 0) held.unshift(bytes);
    },
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    write: (bytes, onTaken) => {
      if (isEndSaid || socket.destroyed) return false;
      return socket.write(bytes, onTaken);
    },
    end: () => endWith(EMPTY_TRAILERS),
    endWith,
    close,
  };
}

const EMPTY_TRAILERS: Trailers = {};

function parseTrailers(bytes: Buffer): Trailers {
  const trailers: Record<string, string> = {};
  for (const line of bytes.toString("latin1").split("\r\n")) {
    const at = line.indexOf(":");
    if (at > 0) trailers[line.slice(0, at).toLowerCase()] = line.slice(at + 1).trim();
  }
  return trailers;
}

/** Whether a connection begins with the preface; `undefined`: more has to come. */
export function startsBare(first: Uint8Array): boolean | undefined {
  const known = Math.min(first.length, BARE_PREFACE.length);
  if (!BARE_PREFACE.subarray(0, known).equals(first.subarray(0, known))) return false;
  return first.length >= BARE_PREFACE.length ? true : undefined;
}
