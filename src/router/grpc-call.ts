import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Clock } from "../base/clock.ts";
import type { AppError } from "../base/errors.ts";
import type { CallStream } from "../base/grpc/call-stream.ts";
import { createMessageReader, prefixMessage } from "../base/grpc/grpc-messages.ts";
import { encodeGrpcMessage } from "../base/grpc/grpc-status.ts";
import { ERROR_POLICY, toAppError } from "../contract/error-code.ts";
import { createAnswerEnd } from "./answer-end.ts";

/** The server's end of one gRPC call. */
export interface GrpcCall {
  readonly stream: CallStream;
  readonly headers: IncomingHttpHeaders;
  readonly isEnded: boolean;
  /** One message. The first one begins the answer. */
  send(message: Uint8Array): void;
  /** OK, after what was sent. What still comes in is thrown away. */
  finish(): void;
  /** Fails with the status of the error's code, after what was sent. */
  fail(error: AppError): void;
  /** Begins the answer, for whoever writes it to the stream as it is. */
  begin(): void;
  /** Ends with this status, after what was written. */
  conclude(trailers: OutgoingHttpHeaders): void;
  /** Breaks it off, here and now: what was sent may be lost. */
  reset(): void;
  /** To be called about every second: an ended call whose client does not take its end is broken off. */
  lap(): void;
}

export const OK = { "grpc-status": "0" } as const;
const CONTENT_TYPE = "application/grpc";

/** On a stream of HTTP/2. */
export function createGrpcCall(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  clock: Pick<Clock, "monotonicMs">,
): GrpcCall {
  const end = createAnswerEnd(stream, clock);
  let isBegun = false;
  let trailers: OutgoingHttpHeaders = OK;
  // What goes wrong with a stream is told by its close.
  stream.on("error", () => undefined);

  /** The answer is complete: a client that has not closed its side need not. */
  const release = () =>
    setImmediate(() => {
      if (!stream.destroyed && !stream.closed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  const begin = () => {
    if (isBegun || end.isGone) return;
    isBegun = true;
    stream.on("wantTrailers", () => {
      if (stream.destroyed || stream.closed) return;
      stream.sendTrailers(trailers);
      release();
    });
    stream.respond({ ":status": 200, "content-type": CONTENT_TYPE }, { waitForTrailers: true });
  };
  const conclude = (given: OutgoingHttpHeaders) => {
    if (!end.begin()) return;
    trailers = given;
    if (isBegun) {
      stream.end();
      return;
    }
    stream.respond({ ":status": 200, "content-type": CONTENT_TYPE, ...trailers }, { endStream: true });
    release();
  };

  return {
    stream,
    headers,
    get isEnded() {
      return end.isEnded;
    },
    send: (message) => {
      begin();
      if (!end.isGone && !stream.writableEnded) stream.write(prefixMessage(message));
    },
    finish: () => {
      if (!end.isEnded) begin();
      conclude(OK);
    },
    fail: (error) => conclude(statusOf(error)),
    begin,
    conclude,
    reset: end.reset,
    lap: end.lap,
  };
}

export function statusOf(error: AppError): { readonly "grpc-status": string; readonly "grpc-message": string } {
  return {
    "grpc-status": String(ERROR_POLICY[toAppError(error).code].grpc),
    "grpc-message": encodeGrpcMessage(error.message),
  };
}

/** Each message as it comes; `onEnd` once the client has closed its side. What is no message fails the call. */
export function readMessages(
  call: GrpcCall,
  handlers: {
    readonly maxMessageBytes: number;
    readonly onMessage: (message: Uint8Array) => void;
    readonly onEnd: () => void;
  },
): void {
  const { stream } = call;
  const reader = createMessageReader(handlers);
  stream.on("data", (chunk: Uint8Array) => {
    if (call.isEnded) return;
    try {
      reader.push(chunk);
    } catch (thrown) {
      call.fail(toAppError(thrown));
    }
  });
  stream.on("end", () => {
    if (!call.isEnded) handlers.onEnd();
  });
}
