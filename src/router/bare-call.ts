import type { OutgoingHttpHeaders } from "node:http2";
import type { Clock } from "../base/clock.ts";
import type { BareStream } from "../base/grpc/bare-stream.ts";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import { createAnswerEnd } from "./answer-end.ts";
import { type GrpcCall, OK, statusOf } from "./grpc-call.ts";

/** The server's end of a call that has a connection for itself. */
export function createBareCall(stream: BareStream, clock: Pick<Clock, "monotonicMs">): GrpcCall {
  const end = createAnswerEnd(stream, clock);
  const conclude = (trailers: OutgoingHttpHeaders) => {
    if (!end.begin()) return;
    stream.endWith(Object.fromEntries(Object.entries(trailers).map(([name, value]) => [name, String(value ?? "")])));
  };
  return {
    stream,
    headers: {},
    get isEnded() {
      return end.isEnded;
    },
    send: (message) => {
      if (!end.isGone && !stream.writableEnded) stream.write(prefixMessage(message));
    },
    finish: () => conclude(OK),
    fail: (error) => conclude(statusOf(error)),
    begin: () => undefined,
    conclude,
    reset: end.reset,
    lap: end.lap,
  };
}
