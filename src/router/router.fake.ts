import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { systemClock } from "../base/clock.ts";
import { createMessageReader, prefixMessage } from "../base/grpc/grpc-messages.ts";
import {
  type EndReason,
  JoinRequestSchema,
  type JoinResponse,
  JoinResponseSchema,
} from "../contract/proto/sluice/router/v1/router_pb.js";
import { signTicket, type TicketClaims } from "../contract/remote/ticket.ts";
import type { Carrier, CarrierEnd } from "../remote/carrier.ts";
import type { Router, RouterDeps, RouterEvent, RouterOptions } from "./router.ts";
import { createRouter, ROUTER_DEFAULTS } from "./router-server.ts";

export const ROUTER_ID = "router-1";

const keys = generateKeyPairSync("ed25519");
const KEY = { id: "key-1", privateKey: keys.privateKey };

/** A ticket as the hub would make it, with what the test wants otherwise. */
export function ticketFor(claims: Partial<TicketClaims> = {}, nowMs = systemClock.wallMs()): string {
  const iat = Math.floor(nowMs / 1000);
  return signTicket(
    {
      sid: "s-1",
      side: "operator",
      box: "edge-001",
      sub: "ada",
      op: "exec",
      aud: ROUTER_ID,
      iat,
      exp: iat + 60,
      jti: randomUUID(),
      idle: 1800,
      max: 28_800,
      ...claims,
    },
    KEY,
  );
}

export interface RouterUnderTest {
  readonly router: Router;
  readonly events: RouterEvent[];
  readonly url: string;
  readonly port: number;
  connect(): ClientHttp2Session;
  join(claims?: Partial<TicketClaims>, from?: ClientHttp2Session): TestSide;
  close(): Promise<void>;
}

/** A real router on a port of this machine, without encryption. */
export async function startRouter(
  options: Partial<RouterOptions> = {},
  deps: Partial<RouterDeps> = {},
): Promise<RouterUnderTest> {
  const events: RouterEvent[] = [];
  const silent = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
  const router = createRouter(
    {
      id: ROUTER_ID,
      limits: { sessions: 512, sessionsPerOperator: 400 },
      hasLanes: false,
      ...ROUTER_DEFAULTS,
      ...options,
    },
    {
      clock: systemClock,
      log: silent,
      ticketKeys: { get: (id) => (id === KEY.id ? keys.publicKey : undefined) },
      onEvent: (event) => events.push(event),
      ...deps,
    },
  );
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    router.serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const clients = new Set<ClientHttp2Session>();
  const open = () => {
    const session = connect(url);
    session.on("error", () => undefined);
    clients.add(session);
    return session;
  };
  return {
    router,
    events,
    url,
    port,
    connect: open,
    join: (claims, from = open()) => joinRouter(from, ticketFor(claims, deps.clock?.wallMs())),
    close: async () => {
      for (const client of clients) client.destroy();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** What an end of our own hears. */
export function listen(carrier: Carrier) {
  const frames: Buffer[] = [];
  const { promise: end, resolve } = Promise.withResolvers<CarrierEnd>();
  carrier.listen({ onFrame: (frame) => frames.push(Buffer.concat(frame)), onDrain: () => undefined, onEnd: resolve });
  return { frames, end };
}

/** A side that does nothing by itself. */
export interface TestSide {
  readonly stream: ClientHttp2Stream;
  /** Everything that came, as decoded. */
  readonly messages: JoinResponse[];
  /** Frames as they came, one after the other. */
  readonly frames: Buffer[];
  /** Resolves with the message once it is here. */
  until(kind: "joined" | "waiting" | "ended"): Promise<JoinResponse>;
  untilFrames(count: number): Promise<Buffer[]>;
  /** `0`, or the reset code, and the status and its text, once it is over. */
  readonly closed: Promise<{ rst: number; status: string | undefined; text: string | undefined }>;
  readonly endReason: EndReason | undefined;
  sendFrame(frame: Uint8Array): boolean;
  sendRaw(bytes: Uint8Array): boolean;
}

export function openCall(session: ClientHttp2Session, path: string, headers: Record<string, string> = {}) {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  stream.on("error", () => undefined);
  return stream;
}

export function joinRouter(session: ClientHttp2Session, ticket: string, client = "test/1", lane = false): TestSide {
  const side = followJoin(openCall(session, "/sluice.router.v1.RouterService/Join"));
  side.sendRaw(joinMessage(ticket, client, lane));
  return side;
}

/** With its prefix. */
export function joinMessage(ticket: string, client = "test/1", lane = false): Buffer {
  const join = create(JoinRequestSchema, { message: { case: "join", value: { ticket, client, lane } } });
  return prefixMessage(toBinary(JoinRequestSchema, join));
}

export function followJoin(stream: ClientHttp2Stream): TestSide {
  const messages: JoinResponse[] = [];
  const frames: Buffer[] = [];
  const waiters = new Set<() => void>();
  const wake = () => {
    for (const waiter of waiters) waiter();
  };
  const reader = createMessageReader({
    onMessage: (bytes) => {
      if (bytes[0] === 0x12) frames.push(Buffer.from(bytes));
      else messages.push(fromBinary(JoinResponseSchema, bytes));
      wake();
    },
  });
  let status: string | undefined;
  let text: string | undefined;
  const take = (headers: Record<string, unknown>) => {
    if (headers["grpc-status"] === undefined) return;
    status = String(headers["grpc-status"]);
    text = headers["grpc-message"] === undefined ? undefined : decodeURIComponent(String(headers["grpc-message"]));
  };
  stream.on("response", take);
  stream.on("trailers", take);
  stream.on("data", reader.push);
  const closed = new Promise<Awaited<TestSide["closed"]>>((resolve) => {
    stream.once("close", () => {
      wake();
      resolve({ rst: stream.rstCode ?? 0, status, text });
    });
  });
  const wait = <T>(read: () => T | undefined, what: string) =>
    new Promise<T>((resolve, reject) => {
      const look = () => {
        const found = read();
        if (found === undefined && !stream.closed) return;
        waiters.delete(look);
        if (found === undefined) reject(new Error(`the call ended (${status} ${text}) before ${what}`));
        else resolve(found);
      };
      waiters.add(look);
      look();
    });
  return {
    stream,
    messages,
    frames,
    closed,
    until: (kind) => wait(() => messages.find(({ message }) => message.case === kind), kind),
    untilFrames: (count) => wait(() => (frames.length >= count ? frames : undefined), `${count} frames`),
    get endReason() {
      const last = messages.at(-1)?.message;
      return last?.case === "ended" ? last.value.reason : undefined;
    },
    sendFrame: (frame) => stream.write(frameMessage(frame)),
    sendRaw: (bytes) => stream.write(bytes),
  };
}

/** A message of one frame, with its prefix. */
export function frameMessage(frame: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = frame.length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      length.push(rest);
      break;
    }
    length.push((rest % 128) | 128);
  }
  return prefixMessage(Buffer.concat([Buffer.from([0x12, ...length]), frame]));
}
