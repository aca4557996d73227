import { AppError } from "../base/errors.ts";
import { MAX_MESSAGE_BYTES, MESSAGE_PREFIX_BYTES, readPrefix } from "../base/grpc/grpc-messages.ts";

/** Key of `frame` in `JoinRequest` and `JoinResponse`: number 2, length-delimited. */
const FRAME_KEY = 0x12;
/** A frame whose first byte has this bit begins with a body numbered 16 or higher: it has no `seq`, and is of the link. */
const LINK_BIT = 0x80;
const MAX_LENGTH_BYTES = 4;
const NOTHING = new Uint8Array(0);

export interface FrameGate {
  /**
   * Takes what arrived, cut anywhere, and hands on what may go to the other side: the same bytes, views of the chunk. At most the
   * head of one message (10 bytes) is held until the rest of it comes. True: frames other than those of the link began in it.
   * Throws `invalid` or `too-large` at a message that is anything but one frame; what stood before it has been handed on.
   */
  push(chunk: Uint8Array, forward: (piece: Uint8Array) => void): boolean;
  /** The other side has the beginning of a message, and not its end. */
  readonly isForwardedPartly: boolean;
  /** The same, of this side: an end here cuts a message. */
  readonly isInMessage: boolean;
}

/**
 * Lets through frames without decoding them, and nothing else: a message that held `joined` or `ended` beside its frame would speak
 * to the other side in the router's name.
 */
export function createFrameGate(maxMessageBytes = MAX_MESSAGE_BYTES): FrameGate {
  let held = NOTHING;
  let remaining = 0;
  return {
    get isForwardedPartly() {
      return remaining > 0;
    },
    get isInMessage() {
      return remaining > 0 || held.length > 0;
    },
    push: (chunk, forward) => {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      held = NOTHING;
      let at = 0;
      let isActivity = false;
      try {
        while (at < bytes.length) {
          if (remaining === 0) {
            const head = readHead(bytes, at, maxMessageBytes);
            if (head === undefined) {
              held = Uint8Array.from(bytes.subarray(at));
              break;
            }
            remaining = head.wholeBytes;
            isActivity ||= head.isActivity;
          }
          const step = Math.min(remaining, bytes.length - at);
          at += step;
          remaining -= step;
        }
      } finally {
        if (at > 0) forward(at === bytes.length ? bytes : bytes.subarray(0, at));
      }
      return isActivity;
    },
  };
}

/** `undefined`: its head is not complete yet. */
function readHead(bytes: Uint8Array, at: number, maxMessageBytes: number) {
  const bodyAt = at + MESSAGE_PREFIX_BYTES;
  if (bodyAt > bytes.length) return undefined;
  const length = readPrefix(bytes, at, maxMessageBytes);
  if (length === 0) throw notOneFrame("an empty message");
  const key = bytes[bodyAt];
  if (key === undefined) return undefined;
  if (key !== FRAME_KEY) throw notOneFrame(`a message whose first byte is ${key}`);

  let frameBytes = 0;
  for (let index = 0; ; index++) {
    const used = 1 + index;
    if (used >= length || index === MAX_LENGTH_BYTES) throw notOneFrame("a frame without a length");
    const byte = bytes[bodyAt + used];
    if (byte === undefined) return undefined;
    frameBytes += (byte & 0x7f) << (7 * index);
    if (byte >= 0x80) continue;
    if (used + 1 + frameBytes !== length) {
      throw notOneFrame(`a frame of ${frameBytes} bytes in a message of ${length}`);
    }
    const wholeBytes = MESSAGE_PREFIX_BYTES + length;
    if (frameBytes === 0) return { wholeBytes, isActivity: false };
    const first = bytes[bodyAt + used + 1];
    return first === undefined ? undefined : { wholeBytes, isActivity: (first & LINK_BIT) === 0 };
  }
}

function notOneFrame(what: string): AppError {
  return new AppError("invalid", `${what} was sent; allowed after join: messages of one frame each`);
}
