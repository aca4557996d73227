import { AppError } from "../errors.ts";

/** Of each message on the wire: a flag for compression, which we never use, and the length. */
export const MESSAGE_PREFIX_BYTES = 5;
/** Without its prefix. What a router carries, and what other gRPC programs take unless told otherwise. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** The prefix of a message of this many bytes. */
export function messagePrefix(bytes: number): Buffer {
  const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES);
  writePrefix(prefix, bytes);
  return prefix;
}

/** The same at the beginning of a buffer. */
export function writePrefix(target: Buffer, bytes: number): void {
  target[0] = 0;
  target.writeUInt32BE(bytes, 1);
}

/** One message as it goes onto the wire. Copies it: for small ones. */
export function prefixMessage(message: Uint8Array): Buffer {
  return Buffer.concat([messagePrefix(message.length), message]);
}

/**
 * Length of the message whose prefix begins at `at`. Throws `invalid` (compressed) or `too-large`.
 */
export function readPrefix(bytes: Uint8Array, at: number, maxMessageBytes: number): number {
  const flag = bytes[at] ?? 0;
  if (flag !== 0) {
    throw new AppError("invalid", `a gRPC message begins with flag ${flag}; allowed: 0, not compressed`);
  }
  const length =
    (bytes[at + 1] ?? 0) * 0x1000000 +
    (((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0));
  if (length > maxMessageBytes) {
    throw new AppError("too-large", `a gRPC message has ${length} bytes; allowed: ${maxMessageBytes}`);
  }
  return length;
}

export interface MessageReader {
  /**
   * Takes what arrived, cut anywhere; calls `onMessage` for each message that is complete with it, in order. Throws `invalid` or
   * `too-large` at the first that is none; nothing may be pushed after that.
   */
  push(chunk: Uint8Array): void;
  /** A message has begun and is not complete: an end here cuts it. */
  readonly inMessage: boolean;
}

/** Messages out of the data of one gRPC stream, each whole. One that lies in one chunk is a view of it. */
export function createMessageReader(options: {
  readonly onMessage: (message: Uint8Array) => void;
  readonly maxMessageBytes?: number;
}): MessageReader {
  return createPieceReader({
    ...options,
    onMessage: (pieces) => {
      const [first = EMPTY] = pieces;
      options.onMessage(pieces.length === 1 ? first : Buffer.concat(pieces));
    },
  });
}

const EMPTY = Buffer.alloc(0);

/** What was read behind the piece before it is one with it. */
function append(pieces: Uint8Array[], part: Uint8Array): void {
  const last = pieces.at(-1);
  if (last !== undefined && last.buffer === part.buffer && last.byteOffset + last.length === part.byteOffset) {
    pieces[pieces.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + part.length);
  } else pieces.push(part);
}

/**
 * The same without a copy: a message is handed on as the pieces in which it came, one or more, none of them empty, which are views of what
 * was pushed: who keeps one longer than the call keeps its chunk. At most one message is held.
 */
export function createPieceReader(options: {
  readonly onMessage: (pieces: readonly Uint8Array[]) => void;
  readonly maxMessageBytes?: number;
}): MessageReader {
  const maxMessageBytes = options.maxMessageBytes ?? MAX_MESSAGE_BYTES;
  const prefix = new Uint8Array(MESSAGE_PREFIX_BYTES);
  let prefixFilled = 0;
  /** Of the message under way; -1: its prefix is not complete. */
  let wanted = -1;
  let pieces: Uint8Array[] = [];
  let held = 0;

  return {
    get inMessage() {
      return prefixFilled > 0 || wanted >= 0;
    },
    push: (chunk) => {
      let at = 0;
      while (at < chunk.length) {
        if (wanted < 0) {
          if (prefixFilled === 0 && chunk.length - at >= MESSAGE_PREFIX_BYTES) {
            wanted = readPrefix(chunk, at, maxMessageBytes);
            at += MESSAGE_PREFIX_BYTES;
          } else {
            const part = chunk.subarray(at, at + MESSAGE_PREFIX_BYTES - prefixFilled);
            prefix.set(part, prefixFilled);
            prefixFilled += part.length;
            at += part.length;
            if (prefixFilled < MESSAGE_PREFIX_BYTES) return;
            wanted = readPrefix(prefix, 0, maxMessageBytes);
            prefixFilled = 0;
          }
        }
        const part = chunk.subarray(at, at + wanted - held);
        at += part.length;
        held += part.length;
        if (part.length > 0) append(pieces, part);
        if (held < wanted) return;
        const message = pieces;
        pieces = [];
        held = 0;
        wanted = -1;
        options.onMessage(message);
      }
    },
  };
}
