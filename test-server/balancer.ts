import { createServer, connect as dial, type Socket } from "node:net";
import { AppError } from "../src/base/errors.ts";

/** A TCP balancer as it stands before several hubs: each connection goes to the next server that takes it. It knows nothing of HTTP. */
export interface Balancer extends AsyncDisposable {
  readonly port: number;
  /** Connections that were passed on, and those that no server took. */
  counts(): { readonly passed: number; readonly refused: number };
}

/** Who reads along on one connection: exactly what each side was sent. */
export interface ConnectionTap {
  toServer(bytes: Buffer): void;
  toClient(bytes: Buffer): void;
}

export interface BalancerOptions {
  /** Ports of the servers on loopback; one that refuses is passed over. */
  readonly servers: () => readonly number[];
  readonly tap?: () => ConnectionTap;
}

const HOST = "127.0.0.1";

/** Resolves once it listens on a free port of loopback. */
export async function startBalancer(options: BalancerOptions): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const counts = { passed: 0, refused: 0 };
  let turn = 0;

  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once("close", () => sockets.delete(socket));
  };
  /** A server that dies ends its side: what it had sent before still reaches the client. */
  const join = (client: Socket, server: Socket) => {
    const tap = options.tap?.();
    client.on("data", (bytes: Buffer) => {
      tap?.toServer(bytes);
      if (!server.write(bytes)) client.pause();
    });
    server.on("data", (bytes: Buffer) => {
      if (client.destroyed || client.writableEnded) return;
      tap?.toClient(bytes);
      if (!client.write(bytes)) server.pause();
    });
    client.on("drain", () => server.resume());
    server.on("drain", () => client.resume());
    client.on("end", () => server.end());
    server.on("end", () => client.end());
    client.on("close", () => server.destroy());
    server.on("close", () => client.end());
  };
  const pass = async (client: Socket) => {
    const servers = options.servers();
    turn++;
    for (let at = 0; at < servers.length; at++) {
      const server = await reach(servers[(turn + at) % servers.length] ?? 0);
      if (server === undefined) continue;
      keep(server);
      if (client.destroyed) {
        server.destroy();
        return;
      }
      counts.passed++;
      join(client, server);
      return;
    }
    counts.refused++;
    client.resetAndDestroy();
  };

  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    keep(client);
    client.on("error", () => client.destroy());
    pass(client).then(
      () => client.resume(),
      () => client.destroy(),
    );
  });
  await new Promise<void>((done, fail) => {
    listener.once("error", fail);
    listener.listen(0, HOST, done);
  });
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new AppError("internal", "the balancer has no port");
  return {
    port: address.port,
    counts: () => ({ ...counts }),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        listener.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A connection to the port; `undefined` where nobody takes one. */
function reach(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = dial({ host: HOST, port, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket));
    socket.on("error", () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}
