import { constants, type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { createGrpcCall, type GrpcCall } from "./grpc-call.ts";
import { WINDOW_BYTES, type WindowGrant, type WindowGrants } from "./window-grants.ts";

/** One connection of a client. */
export interface RouterConnection {
  readonly windows: WindowGrant;
  /** A call of it was let in: it may stay. */
  welcome(): void;
  /** To be called about every second. */
  lap(): void;
  /** GOAWAY, and the end of every call that is open. */
  destroy(): void;
}

const PING_WHEN_QUIET_MS = 15_000;
const DEAD_WHEN_QUIET_MS = 40_000;
export const WELCOME_WITHIN_MS = 10_000;
const MAX_STREAMS = 512;
const MAX_HEADER_BYTES = 16 * 1024;
/** Node refuses streams of a connection that holds more; what may be held is bounded by windows. */
const MAX_SESSION_MEMORY_MB = 4096;

/** One that speaks HTTP/2. */
export function openConnection(
  socket: Duplex,
  deps: {
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly windows: WindowGrants;
    readonly onCall: (path: string, call: GrpcCall) => void;
    readonly onClose: () => void;
  },
): RouterConnection {
  const { clock } = deps;
  const calls = new Set<GrpcCall>();
  const streams = new Set<ServerHttp2Stream>();
  const openedAtMs = clock.monotonicMs();
  let heardAtMs = openedAtMs;
  let isPinging = false;
  let isWelcome = false;

  const session = performServerHandshake(socket, {
    settings: {
      initialWindowSize: WINDOW_BYTES.small,
      maxConcurrentStreams: MAX_STREAMS,
      maxHeaderListSize: MAX_HEADER_BYTES,
      enablePush: false,
    },
    maxSessionMemory: MAX_SESSION_MEMORY_MB,
  });
  // A stream that is not read must not hold the others: Node gives this window back as data comes.
  session.setLocalWindowSize(WINDOW_BYTES.large);
  const windows = deps.windows.add({
    apply: (initialWindowSize, onAgreed) => {
      if (!session.destroyed && !session.closed) session.settings({ initialWindowSize }, onAgreed);
    },
    heldAbove: (bytes) => {
      let held = 0;
      for (const { readableLength } of streams) held += Math.max(0, readableLength - bytes);
      return held;
    },
  });

  const connection: RouterConnection = {
    windows,
    welcome: () => {
      isWelcome = true;
    },
    lap: () => {
      if (session.destroyed) return;
      for (const call of calls) call.lap();
      const nowMs = clock.monotonicMs();
      const quietMs = nowMs - heardAtMs;
      if (quietMs >= DEAD_WHEN_QUIET_MS || (!isWelcome && nowMs - openedAtMs >= WELCOME_WITHIN_MS)) {
        session.destroy();
        return;
      }
      if (quietMs >= PING_WHEN_QUIET_MS && !isPinging) {
        isPinging = session.ping((error) => {
          isPinging = false;
          if (error === null) heardAtMs = clock.monotonicMs();
        });
      }
    },
    destroy: () => session.destroy(),
  };

  // Whatever is wrong with a connection is told by its close.
  session.on("error", () => undefined);
  session.once("close", () => {
    windows.remove();
    socket.destroy();
    deps.onClose();
  });
  session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    heardAtMs = clock.monotonicMs();
    const call = createGrpcCall(stream, headers, clock);
    calls.add(call);
    streams.add(stream);
    windows.streams(calls.size);
    stream.once("close", () => {
      calls.delete(call);
      streams.delete(stream);
      windows.streams(calls.size);
    });
    stream.on("data", (chunk: Uint8Array) => {
      heardAtMs = clock.monotonicMs();
      windows.received(chunk.length, heardAtMs);
    });
    // Who listens for data makes it flow: calls say when.
    stream.pause();
    if (headers[constants.HTTP2_HEADER_METHOD] !== "POST" || !headers["content-type"]?.startsWith("application/grpc")) {
      // It may have been reset before we heard of it.
      if (!stream.destroyed && !stream.closed)
        stream.respond({ ":status": 415, "content-type": "text/plain; charset=utf-8" });
      stream.end("gRPC is spoken here over HTTP/2, and nothing else.\n");
      stream.resume();
      return;
    }
    deps.onCall(String(headers[constants.HTTP2_HEADER_PATH] ?? ""), call);
    stream.resume();
  });
  return connection;
}
