import { createServer, connect as dial, type Socket } from "node:net";
import { AppError } from "../src/base/errors.ts";

/** A TCP relay in front of a server, so that what lies between a box and its hub can be cut. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Ends what is open hard, and refuses what comes, until `mend`. */
  cut(): void;
  mend(): void;
}

/** Resolves once it listens on a free port of loopback. */
export async function startRelay(targetPort: () => number): Promise<Relay> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    keep(client);
    if (isCut) {
      client.resetAndDestroy();
      return;
    }
    const target = dial({ host: "127.0.0.1", port: targetPort() });
    keep(target);
    client.pipe(target).pipe(client);
    client.once("close", () => target.destroy());
    target.once("close", () => client.destroy());
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new AppError("internal", "the relay has no port");
  const dropAll = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: address.port,
    cut: () => {
      isCut = true;
      dropAll();
    },
    mend: () => {
      isCut = false;
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        dropAll();
      }),
  };
}
