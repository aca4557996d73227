import { createServer, type Server, type Socket } from "node:net";
import type { Server as TlsServer } from "node:tls";
import type { Clock } from "../base/clock.ts";

/** First byte of a record that carries a handshake of TLS. */
const HANDSHAKE_RECORD = 0x16;

/**
 * The listener of a port that has TLS: who begins a handshake is led to `tls`, as if that listened itself, and everybody else to `serveOther`.
 * Who says nothing within `firstBytesMs` is cut.
 */
export function createTlsFront(
  tls: TlsServer,
  options: { readonly serveOther: (socket: Socket) => void; readonly firstBytesMs: number },
  { clock }: { readonly clock: Pick<Clock, "timer"> },
): Server {
  return createServer({ noDelay: true }, (socket) => {
    const cut = () => socket.destroy();
    const ignore = () => undefined;
    const late = clock.timer(options.firstBytesMs, cut);
    const onFirst = (bytes: Buffer) => {
      late.clear();
      socket.off("end", cut);
      socket.off("error", ignore);
      socket.pause();
      socket.unshift(bytes);
      if (bytes[0] === HANDSHAKE_RECORD) tls.emit("connection", socket);
      else options.serveOther(socket);
    };
    socket.on("error", ignore);
    socket.once("close", () => late.clear());
    socket.once("end", cut);
    socket.once("data", onFirst);
  });
}
