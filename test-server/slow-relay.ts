import { createServer, connect as dial, type Socket } from "node:net";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";

/** A TCP relay that is as quick as it is told: a thin link, or one that carries nothing any more and says nothing of it. */
export interface SlowRelay extends AsyncDisposable {
  readonly port: number;
  /** Each way, of all connections together. 0: nothing moves, and nothing is closed. */
  setRate(bytesPerSecond: number): void;
}

const TICK_MS = 20;

/** Resolves once it listens on a free port of loopback, as quick as it can. */
export async function startSlowRelay(targetPort: () => number): Promise<SlowRelay> {
  const sockets = new Set<Socket>();
  const life = new AbortController();
  let rate = Number.POSITIVE_INFINITY;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  /** One way. What is not read waits in the kernel, whose windows then close. */
  const pass = async (from: Socket, to: Socket) => {
    let credit = 0;
    while (!from.destroyed && !to.destroyed) {
      credit = Math.min(credit + (rate * TICK_MS) / 1000, Math.max(rate / 10, 1));
      const wanted = Math.min(from.readableLength, Math.floor(credit));
      const bytes: Buffer | null = wanted > 0 ? from.read(wanted) : null;
      if (bytes !== null) {
        credit -= bytes.length;
        to.write(bytes);
      } else if (rate > 0 && from.readableEnded) {
        to.end();
        return;
      } else from.read(0);
      await systemClock.delay(bytes !== null && rate === Number.POSITIVE_INFINITY ? 1 : TICK_MS, life.signal);
    }
  };
  const server = createServer((client) => {
    const target = dial({ host: "127.0.0.1", port: targetPort() });
    for (const socket of [client, target]) keep(socket);
    client.once("close", () => target.destroy());
    target.once("close", () => client.destroy());
    for (const work of [pass(client, target), pass(target, client)]) work.catch(() => undefined);
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new AppError("internal", "the relay has no port");
  return {
    port: address.port,
    setRate: (bytesPerSecond) => {
      rate = bytesPerSecond;
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) => {
        life.abort();
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
