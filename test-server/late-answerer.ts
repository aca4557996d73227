import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { AppError } from "../src/base/errors.ts";

/** All that was said before the other side ended its direction. */
export interface Heard {
  readonly bytes: number;
  readonly sha256: Buffer;
}

export interface LateAnswerer extends AsyncDisposable {
  readonly port: number;
}

/** Reads to the end before it answers, as `git upload-pack` and dumps of databases do. The socket has to be one that stays half-open. */
export function answerAtEnd(socket: Socket, answerTo: (heard: Heard) => string | Uint8Array): void {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (piece: Buffer) => {
    bytes += piece.length;
    hash.update(piece);
  });
  socket.once("end", () => socket.end(answerTo({ bytes, sha256: hash.digest() })));
}

/** Resolves once it listens on a free port of loopback. */
export async function startLateAnswerer(answerTo: (heard: Heard) => string | Uint8Array): Promise<LateAnswerer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // Whoever goes before it is answered resets the connection.
    socket.on("error", () => undefined);
    answerAtEnd(socket, answerTo);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new AppError("internal", "the server has no port");
  return {
    port: address.port,
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
