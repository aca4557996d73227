import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { prefixMessage } from "../../../src/base/grpc/grpc-messages.ts";
import { JoinRequestSchema } from "../../../src/contract/proto/sluice/router/v1/router_pb.js";
import { requestJoin, toFrameMessage } from "../../../src/remote/join-call.ts";

/** One end's call on a connection of its own, whose window is HTTP/2's first one (64 KiB): what it does not read stays at the router. */
export interface RawEnd {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  /** It has read so many bytes. */
  readonly readBytes: number;
}

const FRAME = Buffer.concat(toFrameMessage([Buffer.alloc(64 * 1024, 8)]));
/** What may wait in this process. */
const WAITING_BYTES = 64 * 1024;

export async function joinRaw(url: string, ticket: string): Promise<RawEnd> {
  const session = connect(url);
  // Whoever looks at its bytes sees that it broke.
  session.on("error", () => undefined);
  await once(session, "connect");
  const stream = requestJoin(session, url) as ClientHttp2Stream;
  stream.on("error", () => undefined);
  let readBytes = 0;
  stream.on("data", (bytes: Buffer) => {
    readBytes += bytes.length;
  });
  const join = create(JoinRequestSchema, { message: { case: "join", value: { ticket, client: "bench/1" } } });
  stream.write(prefixMessage(toBinary(JoinRequestSchema, join)));
  return {
    session,
    stream,
    get readBytes() {
      return readBytes;
    },
  };
}

/** Sends for as long as anything is taken. True: something was sent. */
export function fill({ stream }: RawEnd): boolean {
  if (stream.writableLength >= WAITING_BYTES) return false;
  while (stream.writableLength < WAITING_BYTES) stream.write(FRAME);
  return true;
}
