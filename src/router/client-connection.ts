import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { BARE_PREFACE, startsBare } from "../base/grpc/bare-stream.ts";
import { LANE_PREFACE_BYTES, readLanePreface } from "../contract/remote/lane-preface.ts";
import { NO_WINDOWS, openBareConnection } from "./bare-connection.ts";
import type { GrpcCall } from "./grpc-call.ts";
import type { LaneArrival } from "./lane-desk.ts";
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
  /** One end's connection of a lane. `undefined`: its token is none. */
  readonly onLane: (token: string, socket: Socket) => LaneArrival | undefined;
  readonly onClose: () => void;
}

/**
 * A connection of a client, which speaks HTTP/2, carries one bare call or is one end's of a lane, as its first bytes say. `isLaneOnly`: it comes
 * without TLS to a port that has it, where nothing is told that a stranger should not hear.
 */
export function openClientConnection(
  socket: Duplex,
  { isLaneOnly }: { readonly isLaneOnly: boolean },
  deps: ClientConnectionDeps,
): RouterConnection {
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
  const open = (said: Preface) => {
    if (typeof said === "object") return openLane(said.token);
    if (isLaneOnly) return refuse();
    inner =
      said === "bare"
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
  const openLane = (token: string) => {
    const arrival = socket instanceof Socket ? deps.onLane(token, socket) : undefined;
    if (arrival === undefined) return refuse();
    const nothing = () => undefined;
    inner = { windows: NO_WINDOWS, welcome: nothing, lap: nothing, destroy: arrival.destroy };
  };
  const refuse = () => {
    socket.on("error", () => undefined);
    socket.destroy();
    onClose();
  };
  // With TLS only who has agreed on it may speak anything but HTTP/2, and it says so in clear all the same.
  if (socket instanceof TLSSocket && socket.alpnProtocol === "h2") open("http2");
  else readPreface(socket, open, onClose);
  return connection;
}

type Preface = "http2" | "bare" | { readonly token: string };

/** `undefined`: more has to come. */
function prefaceOf(first: Buffer): Preface | undefined {
  const token = readLanePreface(first);
  if (typeof token === "string") return { token };
  const isBare = startsBare(first);
  if (isBare === true) return "bare";
  return token === undefined || isBare === undefined ? undefined : "http2";
}

/** Takes the preface of a bare call and of a lane away; gives back whatever else was read. */
function readPreface(socket: Duplex, decide: (said: Preface) => void, onClose: () => void): void {
  let first: Buffer = Buffer.alloc(0);
  const onError = () => undefined;
  const onGone = () => {
    socket.destroy();
    onClose();
  };
  const onEnd = () => socket.destroy();
  const onData = (bytes: Buffer) => {
    first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
    const said = prefaceOf(first);
    if (said === undefined) return;
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("error", onError);
    socket.off("close", onGone);
    socket.pause();
    const taken = said === "http2" ? 0 : said === "bare" ? BARE_PREFACE.length : LANE_PREFACE_BYTES;
    if (first.length > taken) socket.unshift(first.subarray(taken));
    decide(said);
  };
  socket.on("error", onError);
  socket.on("end", onEnd);
  socket.on("close", onGone);
  socket.on("data", onData);
  socket.resume();
}
