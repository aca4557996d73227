import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { createMessageReader, prefixMessage } from "../src/base/grpc/grpc-messages.ts";
import { JoinRequestSchema, JoinResponseSchema } from "../src/contract/proto/sluice/router/v1/router_pb.js";
import { ticketClaimsSchema } from "../src/contract/remote/ticket.ts";
import { frameMessage } from "../src/router/router.fake.ts";
import type { HubProcess } from "./hub-process.ts";

export type Direction = "toBox" | "toOperator";

/** Frames in the place of one; empty: it is swallowed. `index` counts the frames of this pair and direction. */
export type Bend = (frame: Buffer, at: { readonly direction: Direction; readonly index: number }) => readonly Buffer[];

/** One end that has joined: what it showed, and a way to speak to it. */
export interface JoinedEnd {
  readonly side: "operator" | "box";
  readonly session: string;
  readonly attempt: number;
  readonly ticket: string;
  /** What it has sent, as it came. */
  readonly sent: Buffer[];
  send(frame: Uint8Array): void;
  /** The connection of this end breaks. */
  cut(): void;
  readonly isOver: boolean;
}

/**
 * A router that the hub trusts and should not: it takes any ticket unread, sees everything and does with it what a test wants. Honest
 * until told otherwise.
 */
export interface EvilRouter extends AsyncDisposable {
  /** All that passed, in both directions, since the last call. */
  taken(): Buffer;
  bend(bend: Bend | undefined): void;
  /** Who joins from now on is not brought together with anybody: the test plays the other end. */
  holdApart(isApart: boolean): void;
  /** The newest end of this side. */
  until(side: JoinedEnd["side"], isIt?: (end: JoinedEnd) => boolean): Promise<JoinedEnd>;
  /** Tells an end that the other one is there. */
  greet(end: JoinedEnd): void;
  readonly ends: readonly JoinedEnd[];
}

const ID = "evil-1";
const WAIT_MS = 30_000;

export async function startEvilRouter(hub: HubProcess): Promise<EvilRouter> {
  const ends: (JoinedEnd & { readonly stream: ServerHttp2Stream; peer: JoinedEnd | undefined })[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const stop = new AbortController();
  let seen: Buffer[] = [];
  let bend: Bend | undefined;
  let isApart = false;

  const server = createServer((request, response) => response.writeHead(404).end(String(request.url)));
  const take = (stream: ServerHttp2Stream) => {
    let mine: (typeof ends)[number] | undefined;
    const reader = createMessageReader({
      onMessage: (bytes) => {
        if (mine === undefined) {
          mine = join(stream, Buffer.from(bytes));
          return;
        }
        // Field 2, whose length takes as many bytes as it needs.
        const frame = frameOf(Buffer.from(bytes));
        const index = mine.sent.push(frame) - 1;
        seen.push(frame);
        // What comes before both are there waits for the other.
        if (mine.peer !== undefined) handOn(mine, frame, index);
      },
    });
    stream.on("data", (chunk: Buffer) => reader.push(chunk));
    stream.on("error", () => undefined);
    stream.on("end", () => {
      const peer = ends.find((end) => end === mine?.peer);
      if (peer !== undefined && !peer.stream.writableEnded) peer.stream.end();
    });
    stream.on("close", () => {
      const peer = ends.find((end) => end === mine?.peer);
      peer?.stream.destroy();
    });
  };
  const handOn = ({ side, peer }: (typeof ends)[number], frame: Buffer, index: number) => {
    const direction = side === "operator" ? "toBox" : "toOperator";
    const given = bend === undefined || isApart ? [frame] : bend(frame, { direction, index });
    for (const one of given) peer?.send(one);
  };
  const join = (stream: ServerHttp2Stream, bytes: Buffer): (typeof ends)[number] => {
    const { message } = fromBinary(JoinRequestSchema, bytes);
    if (message.case !== "join") throw new AppError("invalid", "the first message is no join");
    const { ticket } = message.value;
    const claims = ticketClaimsSchema.parse(
      JSON.parse(Buffer.from(ticket.split(".")[1] ?? "", "base64url").toString()),
    );
    if (claims.side === "control") throw new AppError("invalid", "a router is not controlled here");
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: false });
    const end: (typeof ends)[number] = {
      side: claims.side,
      session: claims.sid,
      attempt: claims.att ?? 0,
      ticket,
      sent: [],
      stream,
      peer: undefined,
      send: (frame) => {
        if (!stream.destroyed && !stream.writableEnded) stream.write(frameMessage(frame));
      },
      cut: () => stream.destroy(),
      get isOver() {
        return stream.destroyed;
      },
    };
    ends.push(end);
    const other = ends.findLast(
      ({ side, session, attempt, isOver }) =>
        side !== end.side && session === end.session && attempt === end.attempt && !isOver,
    );
    if (other !== undefined && !isApart) {
      end.peer = other;
      other.peer = end;
      greet(end);
      greet(other);
      for (const [index, frame] of other.sent.entries()) handOn(other, frame, index);
    }
    return end;
  };
  const greet = (given: JoinedEnd) => {
    const end = ends.find((one) => one === given);
    const value = { sessionId: given.session, routerId: ID, peerClient: "evil/1" };
    const message = toBinary(JoinResponseSchema, create(JoinResponseSchema, { message: { case: "joined", value } }));
    end?.stream.write(prefixMessage(message));
  };

  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
    session.once("close", () => sessions.delete(session));
  });
  server.on("stream", take);
  server.removeAllListeners("request");
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const made = (await hub.call("POST", "/v1/tokens", { name: ID, role: "router" })) as { token: string };
  const beat = async () => {
    const answer = await fetch(`${hub.origin}/v1/routers`, {
      method: "POST",
      headers: { authorization: `Bearer ${made.token}`, "content-type": "application/json" },
      body: JSON.stringify({ id: ID, url, version: "evil/1" }),
    });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new AppError("unavailable", `the hub answers ${answer.status} to the router`);
  };
  await beat();
  const beating = (async () => {
    while (!stop.signal.aborted) {
      await systemClock.delay(2000, stop.signal).catch(() => undefined);
      if (!stop.signal.aborted) await beat().catch(() => undefined);
    }
  })();

  return {
    ends,
    taken: () => {
      const all = Buffer.concat(seen);
      seen = [];
      return all;
    },
    bend: (given) => {
      bend = given;
    },
    holdApart: (given) => {
      isApart = given;
    },
    greet,
    until: async (side, isIt = () => true) => {
      const endMs = systemClock.monotonicMs() + WAIT_MS;
      for (;;) {
        const found = ends.findLast((end) => end.side === side && !end.isOver && isIt(end));
        if (found !== undefined) return found;
        if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `no ${side} joined`);
        await systemClock.delay(20);
      }
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await beating;
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

function frameOf(message: Buffer): Buffer {
  let at = 1;
  while (((message[at] ?? 0) & 0x80) !== 0) at += 1;
  return message.subarray(at + 1);
}
