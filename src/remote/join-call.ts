import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { AppError, messageOf } from "../base/errors.ts";
import type { CallStream } from "../base/grpc/call-stream.ts";
import { createPieceReader, MESSAGE_PREFIX_BYTES, writePrefix } from "../base/grpc/grpc-messages.ts";
import { decodeGrpcMessage } from "../base/grpc/grpc-status.ts";
import { type Ended, JoinResponseSchema } from "../contract/proto/sluice/router/v1/router_pb.js";
import { endReasonOf } from "../contract/remote/end-reason-number.ts";
import type { Carrier, CarrierEnd, CarrierEndReason } from "./carrier.ts";
import { createCarrierInbox } from "./carrier-inbox.ts";
import { createFrameWriter, type FrameHead, withHead } from "./frame-writer.ts";

export const JOIN_PATH = "/sluice.router.v1.RouterService/Join";

export interface JoinCall {
  readonly stream: CallStream;
  readonly url: string;
  /** The first message, with its prefix. */
  readonly first: Uint8Array;
}

export interface JoinedCarrier extends Carrier {
  /** By which the router knows this end's connection of a lane; absent: it has promised none. */
  readonly laneToken?: string;
}

export interface JoinCallHooks {
  onWaiting(message: string): void;
  /** The call is over, whether it ever began. */
  onOver(): void;
}

// `frame`, in `JoinRequest` and in `JoinResponse` alike: field 2, a message.
const FRAME_TAG = 0x12;
const EMPTY = Buffer.alloc(0);
/** A gRPC message that holds nothing but its frame. */
const HEAD: FrameHead = {
  lengthOf: (bytes) => MESSAGE_PREFIX_BYTES + 1 + lengthBytesOf(bytes),
  write: (target, bytes) => {
    writePrefix(target, 1 + lengthBytesOf(bytes) + bytes);
    target[MESSAGE_PREFIX_BYTES] = FRAME_TAG;
    let at = MESSAGE_PREFIX_BYTES + 1;
    let rest = bytes;
    for (; rest >= 0x80; rest >>= 7) target[at++] = (rest & 0x7f) | 0x80;
    target[at] = rest;
  },
};

/** What an end before the beginning means for who wanted to join. */
const REFUSALS: Readonly<Partial<Record<CarrierEndReason, string>>> = {
  "rendezvous-timeout": "timeout",
  terminated: "cancelled",
  replaced: "conflict",
};
/** gRPC status → error code of ours (`contract/error-code.ts`), for calls that the router does not begin. */
const STATUSES: Readonly<Record<string, string>> = {
  "1": "cancelled",
  "3": "invalid",
  "4": "timeout",
  "7": "refused",
  "8": "exhausted",
  "12": "unsupported",
  "16": "unauthorized",
};

/** The stream of such a call on HTTP/2. */
export function requestJoin(session: ClientHttp2Session, url: string): CallStream {
  const { protocol, host } = new URL(url);
  return session.request({
    ":method": "POST",
    ":scheme": protocol.slice(0, -1),
    ":authority": host,
    ":path": JOIN_PATH,
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
}

/** Resolves when the router says that both ends are there. */
export function callJoin(
  { stream, url, first }: JoinCall,
  hooks: JoinCallHooks,
  signal: AbortSignal,
): Promise<JoinedCarrier> {
  return new Promise((resolve, reject) => {
    /** Before anybody listens: no more than one chunk of the connection. */
    const inbox = createCarrierInbox();
    let isJoined = false;
    let isOver = false;
    let trailers: IncomingHttpHeaders = {};
    const writeFrame = createFrameWriter(stream, HEAD, inbox.onDrain);

    /** False: it was over before. */
    const leave = (): boolean => {
      if (isOver) return false;
      isOver = true;
      signal.removeEventListener("abort", onAbort);
      hooks.onOver();
      return true;
    };
    const over = (end: CarrierEnd) => {
      if (!leave()) return;
      if (isJoined) inbox.onEnd(end);
      else reject(toRefusal(end));
    };
    const onAbort = () => {
      leave();
      stream.close(constants.NGHTTP2_CANCEL);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });

    const onEnded = ({ reason, message }: Ended) => {
      over({ reason: endReasonOf(reason) ?? "broken", message });
      stream.end();
    };
    const onMessage = (pieces: readonly Uint8Array[]) => {
      const frame = frameOf(pieces);
      if (frame !== undefined) {
        if (!isJoined) throw new AppError("invalid", "a frame came before both ends were there");
        inbox.onFrame(frame);
        return;
      }
      const { message } = fromBinary(JoinResponseSchema, Buffer.concat(pieces));
      if (message.case === "waiting") hooks.onWaiting(message.value.message);
      else if (message.case === "ended") onEnded(message.value);
      else if (message.case === "frame") throw new AppError("invalid", "a message holds more than its frame");
      else if (message.case === "joined" && !isJoined) {
        isJoined = true;
        // Whoever has both ends decides about the end from here on.
        signal.removeEventListener("abort", onAbort);
        resolve(carrier(message.value));
      }
    };
    const carrier = ({
      sessionId,
      routerId,
      peerClient,
      laneToken,
    }: {
      sessionId: string;
      routerId: string;
      peerClient: string;
      laneToken: string;
    }): JoinedCarrier => ({
      ...(laneToken === "" ? {} : { laneToken }),
      sessionId,
      routerId,
      peerClient,
      listen: (given) => {
        inbox.listen(given);
        stream.resume();
      },
      send: (pieces) => {
        if (isOver || stream.writableEnded || stream.destroyed) return true;
        return writeFrame(pieces);
      },
      finish: () => {
        if (!stream.writableEnded) stream.end();
      },
      cut: () => {
        // Without this code the other end could take it for an end in order.
        over({ reason: "broken", message: "this end cut it" });
        stream.close(constants.NGHTTP2_CANCEL);
      },
    });

    const reader = createPieceReader({ onMessage });
    stream.on("data", (chunk: Uint8Array) => {
      try {
        reader.push(chunk);
        // Frames wait for whoever listens: nothing is read in between.
        if (isJoined && !inbox.isHeard) stream.pause();
      } catch (thrown) {
        over({ reason: "protocol", message: messageOf(thrown) });
        stream.close(constants.NGHTTP2_CANCEL);
      }
    });
    stream.on("response", (headers: IncomingHttpHeaders) => {
      if (headers["grpc-status"] !== undefined) trailers = headers;
      else if (Number(headers[":status"]) !== 200)
        trailers = { "grpc-status": "14", "grpc-message": `HTTP ${String(headers[":status"])}` };
    });
    stream.on("trailers", (headers: IncomingHttpHeaders) => {
      trailers = headers;
    });
    stream.on("error", () => undefined);
    stream.on("close", () => {
      const status = String(trailers["grpc-status"] ?? "");
      const isRefused = !isJoined && status !== "" && status !== "0";
      if (!isRefused) {
        over({ reason: "broken", message: `the connection to the router ${url} broke` });
      } else if (leave()) {
        const text = decodeGrpcMessage(String(trailers["grpc-message"] ?? "")) || `gRPC status ${status}`;
        reject(new AppError(STATUSES[status] ?? "unavailable", `the router ${url} refuses: ${text}`));
      }
    });
    stream.write(first);
    stream.resume();
  });
}

function toRefusal({ reason, message }: CarrierEnd): AppError {
  return new AppError(REFUSALS[reason] ?? "unavailable", message);
}

/** The pieces of a frame, if this message is one; everything else is for the library. */
function frameOf(pieces: readonly Uint8Array[]): readonly Uint8Array[] | undefined {
  const [first = EMPTY, ...more] = pieces;
  if (first[0] !== FRAME_TAG) return undefined;
  let total = first.length;
  for (const piece of more) total += piece.length;
  let length = 0;
  let at = 1;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = first[at++];
    if (byte === undefined || scale > 0x1000_0000) return frameOfWhole(pieces);
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  if (at + length !== total) return undefined;
  const rest = first.subarray(at);
  return rest.length === 0 && more.length > 0 ? more : [rest, ...more];
}

/** Its head was cut in two, or it is none. */
function frameOfWhole(pieces: readonly Uint8Array[]): readonly Uint8Array[] | undefined {
  return pieces.length === 1 ? undefined : frameOf([Buffer.concat(pieces)]);
}

/** As one message of the call. */
export function toFrameMessage(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  return withHead(HEAD, pieces);
}

function lengthBytesOf(bytes: number): number {
  return bytes < 0x80 ? 1 : bytes < 0x4000 ? 2 : bytes < 0x20_0000 ? 3 : 4;
}
