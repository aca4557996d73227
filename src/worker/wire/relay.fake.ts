import { connect, createServer, type Socket } from "node:net";
import { FRAME_HEAD_BYTES } from "./frames.ts";

/** What becomes of bytes on their way; `at`: how many came before them. */
export type OnTheWay = (bytes: Buffer, at: number) => Buffer | Promise<Buffer>;

export interface Relay {
  readonly port: number;
  /** As a peer's. */
  readonly endpoint: { readonly address: string; readonly trusted: true };
  /** Of all connections, since the start. */
  moved(): { readonly asked: number; readonly answered: number };
  /** That came, since the start. */
  connections(): number;
  /** Also what goes on. */
  close(): void;
}

export interface RelayWay {
  /** The address at which it listens. */
  readonly host?: string;
  /** Towards the data server. */
  readonly ask?: OnTheWay;
  /** From it. */
  readonly answer?: OnTheWay;
}

/** Stands before a data server, in the clear. Each way counts its bytes over all connections. */
export async function startRelay(port: number, way: RelayWay = {}): Promise<Relay> {
  const host = way.host ?? "127.0.0.1";
  const sockets = new Set<Socket>();
  const moved = { asked: 0, answered: 0 };
  let connections = 0;
  const carry = (from: Socket, to: Socket, name: keyof typeof moved, change: OnTheWay | undefined) => {
    let before = Promise.resolve();
    const end = (act: () => void) => {
      before = before.then(act);
    };
    from.on("data", (bytes: Buffer) => {
      before = before.then(async () => {
        const at = moved[name];
        moved[name] += bytes.length;
        const out = change === undefined ? bytes : await change(bytes, at);
        if (out.length > 0 && !to.destroyed) to.write(out);
      });
    });
    from.on("error", () => undefined);
    from.once("end", () => end(() => to.end()));
    from.once("close", () => end(() => to.destroy()));
  };
  const server = createServer((client) => {
    connections += 1;
    const peer = connect({ host: "127.0.0.1", port });
    for (const socket of [client, peer]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    }
    carry(client, peer, "asked", way.ask);
    carry(peer, client, "answered", way.answer);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  const at = typeof address === "object" && address !== null ? address.port : 0;
  return {
    port: at,
    endpoint: { address: `${host}:${at}`, trusted: true },
    moved: () => ({ ...moved }),
    connections: () => connections,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Whole frames of one connection, each with its head, and what becomes of them. */
export function byFrame(change: (frame: Buffer, index: number) => readonly Buffer[]): OnTheWay {
  let held = Buffer.alloc(0);
  let index = 0;
  return (bytes) => {
    held = Buffer.concat([held, bytes]);
    const out: Buffer[] = [];
    while (held.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + held.readUInt32BE(1);
      if (held.length < end) break;
      out.push(...change(Buffer.from(held.subarray(0, end)), index++));
      held = held.subarray(end);
    }
    return Buffer.concat(out);
  };
}
