import type { Socket } from "node:net";
import { AppError } from "../../base/errors.ts";
import { createPieceReader, MESSAGE_PREFIX_BYTES, writePrefix } from "../../base/grpc/grpc-messages.ts";

/**
 * What goes over the socket between a command and the keeper of a link: messages with their length in front, each of which begins with a
 * byte that says whether it is words (JSON) or one frame of a remote session. Both ends are the same program: it has no versions.
 */
export interface LinkWire {
  say(words: unknown): void;
  /** Always taken; `false`: no more before the socket has drained. */
  frame(pieces: readonly Uint8Array[]): boolean;
}

export interface LinkWireHandlers {
  onWords(words: unknown): void;
  onFrame(pieces: readonly Uint8Array[]): void;
}

const WORDS = 1;
const FRAME = 2;
/** Below this a copy is cheaper than another piece. */
const COPY_BYTES = 2048;
/** What may wait here, so that the other end always has something to read. */
const HOLD_ABOVE_BYTES = 256 * 1024;

/** What is no message of ours ends the socket. */
export function createLinkWire(socket: Socket, handlers: LinkWireHandlers): LinkWire {
  const reader = createPieceReader({
    onMessage: ([first = new Uint8Array(), ...more]) => {
      const rest = first.subarray(1);
      const pieces = rest.length === 0 ? more : [rest, ...more];
      if (first[0] === FRAME) return handlers.onFrame(pieces);
      if (first[0] !== WORDS) throw new AppError("invalid", "it is no message of a kept link");
      handlers.onWords(JSON.parse(Buffer.concat(pieces).toString("utf8")));
    },
  });
  socket.on("data", (chunk: Uint8Array) => {
    try {
      reader.push(chunk);
    } catch (thrown) {
      socket.destroy(thrown instanceof Error ? thrown : undefined);
    }
  });
  const send = (kind: number, pieces: readonly Uint8Array[]): boolean => {
    if (socket.destroyed || socket.writableEnded) return true;
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    const [first = new Uint8Array(), ...more] = pieces;
    const along = first.length <= COPY_BYTES ? first.length : 0;
    const head = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES + 1 + along);
    writePrefix(head, 1 + bytes);
    head[MESSAGE_PREFIX_BYTES] = kind;
    if (along > 0) head.set(first, MESSAGE_PREFIX_BYTES + 1);
    const rest = along > 0 ? more : pieces;
    if (rest.length > 0) socket.cork();
    socket.write(head);
    for (const piece of rest) socket.write(piece);
    if (rest.length > 0) socket.uncork();
    return socket.writableLength < HOLD_ABOVE_BYTES;
  };
  return {
    say: (words) => void send(WORDS, [Buffer.from(JSON.stringify(words))]),
    frame: (pieces) => send(FRAME, pieces),
  };
}
