import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { BARE_PREFACE, startsBare } from "../base/grpc/bare-stream.ts";
import { openBareConnection } from "./bare-connection.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { openConnection, type RouterConnection, WELCOME_WITHIN_MS } from "./router-connection.ts";
import type { WindowGrants } from "./window-grants.ts";

export interface ClientConnectionDeps {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly windows: WindowGrants;
  readonly bareDeadWhenQuietMs: number;
  /** A call on HTTP/2. */
  readonly onCall: (path: string, call: GrpcCall, connection: RouterConnection) => void;
  /** A bare call, which is always `Join`. */
  readonly onBareCall: (call: GrpcCall, connection: RouterConnection) => void;
  readonly onClose: () => void;
}

/** A connection of a client, which speaks HTTP/2 or carries one bare call, as its first bytes say. */
export function openClientConnection(socket: Duplex, deps: ClientConnectionDeps): RouterConnection {
  const { clock, onClose } = deps;
  const openedAtMs = clock.monotonicMs();
  let inner: RouterConnection | undefined;
  let isWelcome = false;

  const connection: RouterConnection = {
    windows: {
      streams: (count) => inner?.windows.streams(count),
      received: (bytes, nowMs) => inner?.windows.received(bytes, nowMs),
      shrink: () => inner?.windows.shrink(),
      remove: () => inner?.windows.remove(),
    },
    welcome: () => {
      isWelcome = true;
      inner?.welcome();
    },
    lap: () => {
      if (inner !== undefined) inner.lap();
      else if (clock.monotonicMs() - openedAtMs >= WELCOME_WITHIN_MS) socket.destroy();
    },
    destroy: () => (inner === undefined ? socket.destroy() : inner.destroy()),
  };
  const open = (isBare: boolean) => {
    inner = isBare
      ? openBareConnection(socket, {
          clock,
          deadWhenQuietMs: deps.bareDeadWhenQuietMs,
          onCall: (call) => deps.onBareCall(call, connection),
          onClose,
        })
      : openConnection(socket, {
          clock,
          windows: deps.windows,
          onCall: (path, call) => deps.onCall(path, call, connection),
          onClose,
        });
    if (isWelcome) inner.welcome();
  };
  // With TLS only who has agreed on it may speak anything but HTTP/2, and it says so in clear all the same.
  if (socket instanceof TLSSocket && socket.alpnProtocol === "h2") open(false);
  else readPreface(socket, open, onClose);
  return connection;
}

/** Takes the preface of a bare call away; gives back whatever else was read. */
function readPreface(socket: Duplex, decide: (isBare: boolean) => void, onClose: () => void): void {
  let first: Buffer = Buffer.alloc(0);
  const onError = () => undefined;
  const onGone = () => {
    socket.destroy();
    onClose();
  };
  const onEnd = () => socket.destroy();
  const onData = (bytes: Buffer) => {
    first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
    const isBare = startsBare(first);
    if (isBare === undefined) return;
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("error", onError);
    socket.off("close", onGone);
    socket.pause();
    const rest = isBare ? first.subarray(BARE_PREFACE.length) : first;
    if (rest.length > 0) socket.unshift(rest);
    decide(isBare);
  };
  socket.on("error", onError);
  socket.on("end", onEnd);
  socket.on("close", onGone);
  socket.on("data", onData);
  socket.resume();
}
