import type { Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import type { Clock } from "./clock.ts";

/** First byte of a record that carries a handshake of TLS. */
const HANDSHAKE_RECORD = 0x16;

/**
 * Two kinds of connections on one port that has TLS: who begins a handshake stays with the server, and everybody else is led to
 * `serveOther`. Who says nothing within `firstBytesMs` is cut. To be called before anybody else listens for connections.
 */
export function splitHandshakes(
  server: TlsServer,
  options: { readonly serveOther: (socket: Socket) => void; readonly firstBytesMs: number },
  { clock }: { readonly clock: Pick<Clock, "timer"> },
): void {
  const listeners = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const cut = () => socket.destroy();
    const ignore = () => undefined;
    const late = clock.timer(options.firstBytesMs, cut);
    const onFirst = (bytes: Buffer) => {
      late.clear();
      socket.off("end", cut);
      socket.off("error", ignore);
      socket.pause();
      socket.unshift(bytes);
      if (bytes[0] !== HANDSHAKE_RECORD) return options.serveOther(socket);
      for (const listener of listeners) listener.call(server, socket);
    };
    socket.on("error", ignore);
    socket.once("close", () => late.clear());
    socket.once("end", cut);
    socket.once("data", onFirst);
  });
}
