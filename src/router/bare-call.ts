import { constants } from "node:http2";
import type { Clock } from "../base/clock.ts";
import type { BareStream, Trailers } from "../base/grpc/bare-stream.ts";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import { type GrpcCall, statusOf, TAKE_END_WITHIN_MS } from "./grpc-call.ts";

/** The server's end of a call that has a connection for itself. */
export function createBareCall(stream: BareStream, clock: Pick<Clock, "monotonicMs">): GrpcCall {
  let endedAtMs: number | undefined;
  const isGone = () => stream.destroyed || stream.closed || stream.aborted;
  const end = () => {
    endedAtMs = clock.monotonicMs();
    stream.resume();
  };
  const conclude = (trailers: Trailers) => {
    if (endedAtMs !== undefined) return;
    end();
    if (!isGone()) stream.endWith(trailers);
  };
  return {
    stream,
    headers: {},
    get isEnded() {
      return endedAtMs !== undefined || isGone();
    },
    send: (message) => {
      if (!isGone() && !stream.writableEnded) stream.write(prefixMessage(message));
    },
    finish: () => conclude({ "grpc-status": "0" }),
    fail: (error) => conclude(statusOf(error)),
    begin: () => undefined,
    conclude: (given) =>
      conclude(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value ?? "")]))),
    reset: () => {
      end();
      if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    },
    lap: () => {
      if (endedAtMs === undefined || stream.destroyed) return;
      if (clock.monotonicMs() - endedAtMs >= TAKE_END_WITHIN_MS) stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}
