import type { Duplex } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { createBareStream } from "../base/grpc/bare-stream.ts";
import { createBareCall } from "./bare-call.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { type RouterConnection, WELCOME_WITHIN_MS } from "./router-connection.ts";
import type { WindowGrant } from "./window-grants.ts";

/** Its windows are those of TCP. */
export const NO_WINDOWS: WindowGrant = {
  streams: () => undefined,
  received: () => undefined,
  shrink: () => undefined,
  remove: () => undefined,
};

/** A connection of one call, whose preface was read. It has no signs of life of its own: its ends say something every 15 s. */
export function openBareConnection(
  socket: Duplex,
  deps: {
    readonly clock: Pick<Clock, "monotonicMs">;
    /** Longer than an end waits in silence for the other. */
    readonly deadWhenQuietMs: number;
    readonly onCall: (call: GrpcCall) => void;
    readonly onClose: () => void;
  },
): RouterConnection {
  const { clock } = deps;
  const stream = createBareStream(socket, { isClient: false });
  const call = createBareCall(stream, clock);
  const openedAtMs = clock.monotonicMs();
  let heardAtMs = openedAtMs;
  let isWelcome = false;

  stream.on("data", () => {
    heardAtMs = clock.monotonicMs();
  });
  stream.once("close", deps.onClose);
  deps.onCall(call);
  stream.resume();
  return {
    windows: NO_WINDOWS,
    welcome: () => {
      isWelcome = true;
    },
    lap: () => {
      call.lap();
      const nowMs = clock.monotonicMs();
      // What is held back for a slow reader is not heard, and is no silence.
      if (stream.isPaused) heardAtMs = nowMs;
      const isLate = !isWelcome && nowMs - openedAtMs >= WELCOME_WITHIN_MS;
      if (isLate || nowMs - heardAtMs >= deps.deadWhenQuietMs) socket.destroy();
    },
    destroy: () => socket.destroy(),
  };
}
