import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import { processesHolding, readLocalSockets } from "../../base/local-sockets.ts";
import { formatPlace } from "./forward-spec.ts";

/** Both families of this machine, as `localhost` has them. */
const LOOPBACKS = ["127.0.0.1", "::1"] as const;
const NO_FAMILY: ReadonlySet<string | undefined> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL"]);

export interface Listener {
  /** `127.0.0.1:8080`, and `[::1]:8080` where it could be had. */
  readonly places: readonly string[];
  readonly port: number;
  close(): void;
}

/** Rejects with `conflict` where the port is taken, with the process that holds it. */
export async function listenTcp(
  bind: string | undefined,
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<Listener> {
  const servers: Server[] = [];
  return listenOn(bind, port, {
    protocol: "tcp",
    open: async (address, wanted) => {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, onConnection);
      servers.push(server);
      server.listen({ host: address, port: wanted, ipv6Only: bind === undefined });
      await once(server, "listening");
      const bound = server.address();
      return typeof bound === "object" && bound !== null ? bound.port : wanted;
    },
    close: () => {
      for (const server of servers) server.close();
    },
  });
}

/** As `listenTcp`. */
export async function listenUdp(
  bind: string | undefined,
  port: number,
  onSocket: (socket: UdpSocket) => void,
): Promise<Listener> {
  const sockets: UdpSocket[] = [];
  return listenOn(bind, port, {
    protocol: "udp",
    open: async (address, wanted) => {
      const isV6 = address.includes(":");
      const socket = createSocket(isV6 ? { type: "udp6", ipv6Only: bind === undefined } : { type: "udp4" });
      socket.bind({ address, port: wanted, exclusive: true });
      await once(socket, "listening");
      sockets.push(socket);
      socket.on("error", () => undefined);
      onSocket(socket);
      return socket.address().port;
    },
    close: () => {
      for (const socket of sockets) socket.close();
    },
  });
}

interface Opener {
  readonly protocol: "tcp" | "udp";
  open(address: string, port: number): Promise<number>;
  close(): void;
}

async function listenOn(bind: string | undefined, port: number, { protocol, open, close }: Opener): Promise<Listener> {
  const places: string[] = [];
  let chosen = port;
  for (const [index, address] of (bind === undefined ? LOOPBACKS : [bind]).entries()) {
    try {
      chosen = await open(address, chosen);
      places.push(formatPlace(address, chosen));
    } catch (thrown) {
      // A machine without IPv6, or a port whose other half is taken: one of the two does.
      if (index > 0 && (port === 0 || NO_FAMILY.has(errnoOf(thrown)))) continue;
      close();
      throw explain(thrown, { protocol, address, port: chosen });
    }
  }
  return { places, port: chosen, close };
}

function explain(
  thrown: unknown,
  { protocol, address, port }: { readonly protocol: string; readonly address: string; readonly port: number },
): AppError {
  const place = `${formatPlace(address, port)}/${protocol}`;
  switch (errnoOf(thrown)) {
    case "EADDRINUSE":
      return new AppError("conflict", `${place} is taken${holderOf(protocol, port)}; name another LOCAL port, or 0`, {
        cause: thrown,
      });
    case "EACCES":
      return new AppError("refused", `${place}: this user may not listen there; name a LOCAL port from 1024 on`, {
        cause: thrown,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new AppError("invalid", `${place}: ${address} is no address of this machine`, { cause: thrown });
    default:
      return new AppError("unavailable", `cannot listen on ${place}: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** As far as this user may look. */
function holderOf(protocol: string, port: number): string {
  if (protocol !== "tcp") return "";
  const inode = readLocalSockets().find((socket) => socket.isListening && socket.port === port)?.inode;
  const [holder] = inode === undefined ? [] : processesHolding(inode);
  return holder === undefined ? "" : ` by ${holder.name} (process ${holder.pid})`;
}
