import { Server as HttpServer, type Server as PlainServer } from "node:http";
import { Server as TlsServer } from "node:https";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { BARE_PROTOCOL } from "../../base/grpc/bare-stream.ts";
import { splitHandshakes } from "../../base/split-handshakes.ts";
import type { MountedRouter } from "../remote/mounted-router.ts";

/**
 * What a client may offer with TLS, in the order in which this server wants it. Browsers and many programs offer both and want pages
 * and the API, which speak HTTP/1.1; who speaks gRPC offers HTTP/2 alone, and our own ends a bare call before it.
 */
export const HTTP2_PROTOCOLS: string[] = ["http/1.1", BARE_PROTOCOL, "h2"];
/** Every connection of HTTP/2 begins with `PRI * HTTP/2.0`, one of a bare call or of a lane with `PRI *`, too; no request of HTTP/1.1 does. */
const PREFACE = Buffer.from("PRI");

/**
 * A router's connections on a server's port: those that speak HTTP/2 go to `serve`, all others stay with the server. With TLS the handshake
 * says which one it is, without it the first bytes do; who sends none within `firstBytesMs` is cut. Where the server has TLS and a connection
 * has not, that is the router's as well, which takes nothing but a lane so.
 */
export function splitHttp2(
  server: PlainServer | TlsServer,
  { serve, firstBytesMs }: { readonly serve: MountedRouter["serve"]; readonly firstBytesMs: number },
  { clock }: { readonly clock: Clock },
): void {
  if (server instanceof TlsServer) {
    splitHandshakes(server, { serveOther: (socket) => serve(socket, { isLaneOnly: true }), firstBytesMs }, { clock });
  }
  const event = server instanceof HttpServer ? "connection" : "secureConnection";
  const listeners = server.listeners(event);
  server.removeAllListeners(event);
  const keep = (socket: Socket) => {
    for (const listener of listeners) listener.call(server, socket);
  };
  const take = (socket: Socket) => {
    // Servers of HTTP/1.1 leave it to each request what the end of the other side means; here it is the end of the connection.
    socket.allowHalfOpen = false;
    serve(socket);
  };
  server.on(event, (socket: Socket) => {
    if (socket instanceof TLSSocket) {
      if (socket.alpnProtocol === "h2" || socket.alpnProtocol === BARE_PROTOCOL) take(socket);
      else keep(socket);
      return;
    }
    const late = clock.timer(firstBytesMs, () => socket.destroy());
    readFirst(
      socket,
      () => late.clear(),
      (isHttp2) => (isHttp2 ? take(socket) : keep(socket)),
    );
  });
}

/** Puts back what it has read. */
function readFirst(socket: Socket, onOver: () => void, decide: (isHttp2: boolean) => void): void {
  let first: Buffer = Buffer.alloc(0);
  const cut = () => socket.destroy();
  const onData = (bytes: Buffer) => {
    first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
    const isPreface = PREFACE.subarray(0, first.length).equals(first.subarray(0, PREFACE.length));
    if (isPreface && first.length < PREFACE.length) return;
    socket.off("data", onData);
    socket.off("error", cut);
    socket.off("close", onOver);
    onOver();
    socket.pause();
    socket.unshift(first);
    decide(isPreface);
    // The router reads by itself.
    if (!isPreface) socket.resume();
  };
  socket.on("error", cut);
  socket.on("close", onOver);
  socket.on("data", onData);
}
