import type { Socket } from "node:net";
import { AppError } from "../../base/errors.ts";
import { createPieceReader, MESSAGE_PREFIX_BYTES, writePrefix } from "../../base/grpc/grpc-messages.ts";
import { createFrameWriter, type FrameHead, withHead } from "../../remote/frame-writer.ts";

/**
 * What goes over the socket between a command and the keeper of a link: messages with their length in front, each of which begins with a
 * byte that says whether it is words (JSON) or one frame of a remote session. Both ends are the same program: it has no versions.
 */
export interface LinkWire {
  say(words: unknown): void;
  /** Always taken; `false`: no more before `onDrain`. */
  frame(pieces: readonly Uint8Array[]): boolean;
}

export interface LinkWireHandlers {
  onWords(words: unknown): void;
  onFrame(pieces: readonly Uint8Array[]): void;
  /** Of who sends frames no faster than they are taken. */
  onDrain?(): void;
}

const WORDS = 1;
const FRAME = 2;

const headOf = (kind: number): FrameHead => ({
  lengthOf: () => MESSAGE_PREFIX_BYTES + 1,
  write: (target, bytes) => {
    writePrefix(target, 1 + bytes);
    target[MESSAGE_PREFIX_BYTES] = kind;
  },
});

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
  const isClosed = () => socket.destroyed || socket.writableEnded;
  const writeFrame = createFrameWriter(socket, headOf(FRAME), () => handlers.onDrain?.());
  return {
    // Not with what else is written in this turn: who says its last words may end the socket at once.
    say: (words) => {
      if (isClosed()) return;
      for (const piece of withHead(headOf(WORDS), [Buffer.from(JSON.stringify(words))])) socket.write(piece);
    },
    frame: (pieces) => isClosed() || writeFrame(pieces),
  };
}
