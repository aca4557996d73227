import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getCACertificates } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Clock, Timer } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { prefixMessage } from "../base/grpc/grpc-messages.ts";
import { JoinRequestSchema } from "../contract/proto/sluice/router/v1/router_pb.js";
import type { RouterAddress } from "../contract/remote/offer.ts";
import { dialBare } from "./bare-line.ts";
import type { Carrier, LaneOffer } from "./carrier.ts";
import { callJoin, type JoinedCarrier, requestJoin, toFrameMessage } from "./join-call.ts";
import { dialLane } from "./lane-line.ts";

/**
 * What a session carries. Bulk goes over another connection than what is typed, which must not wait behind it; with a number: each over one
 * of its own. `piped`, what other programs say to each other through the session: each over one of its own, where the router knows that
 * without HTTP/2 (`bare-line.ts`), which moves a byte for half the work. Beside the last two over a lane (`lane-line.ts`), where it is worth one.
 */
export type Traffic = "interactive" | "bulk" | `bulk-${number}` | "piped";

export interface JoinTarget {
  readonly router: RouterAddress;
  /** Secret, single-use. */
  readonly ticket: string;
  readonly traffic: Traffic;
  /** End to end. */
  readonly isSealed: boolean;
  /** A frame that goes behind `join`, before both ends are there. Base64, because a target is handed on as text. Not of what is `piped`. */
  readonly firstFrame?: string;
}

export type PreparedTarget = Pick<JoinTarget, "router" | "traffic">;

export interface JoinHooks {
  /** The other end is awaited: one sentence for people. */
  readonly onWaiting?: (message: string) => void;
}

/** Joins sessions at routers, and keeps one connection to each router for each kind of traffic for a while after its last use. */
export interface RouterDialler {
  /**
   * Resolves when both ends are there. Rejects with the router's own word: `unauthorized`, `refused`, `exhausted`, `unavailable`,
   * `timeout` (nobody came), `cancelled` (the session was ended), or with `unavailable` when it cannot be reached.
   */
  join(target: JoinTarget, hooks: JoinHooks, signal: AbortSignal): Promise<Carrier>;
  /** Has a connection there for a `join` that is to come; one that cannot be made is none. */
  prepare(target: PreparedTarget): void;
  /** Ends all connections, with what they carry. */
  close(): void;
}

export interface RouterDiallerDeps {
  readonly clock: Clock;
  /** PEM of authorities beside those of the system: for routers that name none of their own. */
  readonly authorities: () => readonly string[];
  /** A connection to this router that is there without dialling: it runs in this process. */
  readonly connectionTo?: (router: RouterAddress) => Duplex | undefined;
}

/** What is on its way on a link of 100 ms must fit: a stock window carries 0.6 MB/s over 50 ms. A session's own credit bounds memory. */
const STREAM_WINDOW_BYTES = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 32 * 1024 * 1024;
const CONNECT_LIMIT_MS = 10_000;
/** Unless it is told otherwise: how long a connection that carries nothing is kept. */
const WARM_MS = 300_000;
const PING_MS = 20_000;
const PING_LIMIT_MS = 15_000;
/** Routers are upgraded, too. */
const HTTP2_ONLY_MS = 300_000;
/** What a session waits for a lane at most, before it goes over its call. */
const LANE_LIMIT_MS = 3000;
/** Of a transfer, which nobody looks at: without one it takes twice the work for as long as none is tried. */
const BULK_LANE_LIMIT_MS = 8000;
const NO_LANE_MS = 300_000;

interface Line {
  readonly session: ClientHttp2Session;
  readonly connected: Promise<void>;
  calls: number;
  rest: Timer | undefined;
}

export function createRouterDialler(
  { client, warmMs = WARM_MS }: { readonly client: string; readonly warmMs?: number },
  { clock, authorities, connectionTo }: RouterDiallerDeps,
): RouterDialler {
  const lines = new Map<string, Line>();
  const bareSockets = new Set<Socket>();
  /** Routers that did not know what a bare call is, and when that was. */
  const http2Only = new Map<string, number>();
  /** Routers at which a lane was of no use, and when that was. */
  const failedLanes = new Map<string, number>();

  /** `undefined`: the system's. */
  const trustedFor = ({ ca }: RouterAddress): string[] | undefined => {
    if (ca !== undefined) return [ca];
    const own = authorities();
    return own.length === 0 ? undefined : [...own, ...getCACertificates("default")];
  };
  const dial = (key: string, router: RouterAddress): Line => {
    const { url } = router;
    const ready = connectionTo?.(router);
    const ca = trustedFor(router);
    const session = connect(url, {
      ...(ca === undefined ? {} : { ca }),
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
      ALPNProtocols: ["h2"],
      ...(ready === undefined ? {} : { createConnection: () => ready }),
    });
    const connected = Promise.withResolvers<void>();
    connected.promise.catch(() => undefined);
    const line: Line = { session, connected: connected.promise, calls: 0, rest: undefined };
    const limit = clock.timer(CONNECT_LIMIT_MS, () =>
      session.destroy(new AppError("unavailable", `no answer within ${CONNECT_LIMIT_MS / 1000} s`)),
    );
    let ping: Timer | undefined;
    session.once("connect", () => {
      limit.clear();
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      ping = keepAlive(session, clock, (next) => {
        ping = next;
      });
      connected.resolve();
    });
    // Its calls hear of it themselves.
    session.on("error", (thrown) => connected.reject(toUnavailable(url, thrown)));
    session.once("close", () => {
      limit.clear();
      ping?.clear();
      line.rest?.clear();
      if (lines.get(key) === line) lines.delete(key);
      connected.reject(toUnavailable(url, undefined));
    });
    session.once("goaway", () => {
      if (lines.get(key) === line) lines.delete(key);
    });
    lines.set(key, line);
    return line;
  };
  const release = (line: Line) => {
    line.calls -= 1;
    if (line.calls === 0 && !line.session.destroyed) line.rest = clock.timer(warmMs, () => line.session.close());
  };

  /** For one more call, which releases it. */
  const take = ({ router, traffic }: PreparedTarget) => {
    const key = [traffic, router.url, router.ca ?? authorities().join("")].join(" ");
    const known = lines.get(key);
    const line = known === undefined || known.session.closed || known.session.destroyed ? dial(key, router) : known;
    line.rest?.clear();
    line.calls += 1;
    return { key, line };
  };

  /** No new calls; those that are open go on. */
  const retire = (key: string, line: Line) => {
    if (lines.get(key) === line) lines.delete(key);
    if (!line.session.destroyed) line.session.close();
  };

  const isLately = (noted: ReadonlyMap<string, number>, { url }: RouterAddress, forMs: number): boolean => {
    const atMs = noted.get(url);
    return atMs !== undefined && clock.monotonicMs() - atMs < forMs;
  };
  /** A connection of its own can be had. */
  const canDial = ({ router }: JoinTarget): boolean => connectionTo?.(router) === undefined;
  const speaksBare = (target: JoinTarget): boolean =>
    target.traffic === "piped" && canDial(target) && !isLately(http2Only, target.router, HTTP2_ONLY_MS);
  /** A lane seals what it carries: where nothing else does, on no leg, that is all it would add. */
  const wantsLane = (target: JoinTarget): boolean =>
    mayFill(target.traffic) &&
    canDial(target) &&
    (target.isSealed || target.router.url.startsWith("https:")) &&
    !isLately(failedLanes, target.router, NO_LANE_MS);
  const withLane = (carrier: JoinedCarrier, { router: { url }, traffic }: JoinTarget): Carrier => {
    const { laneToken: token } = carrier;
    if (token === undefined) return carrier;
    let ready: Promise<Socket> | undefined;
    const meet = () => {
      if (ready !== undefined) return ready;
      const limitMs = traffic === "piped" ? LANE_LIMIT_MS : BULK_LANE_LIMIT_MS;
      const line = dialLane({ url, token, limitMs }, { clock });
      bareSockets.add(line.socket);
      line.socket.once("close", () => bareSockets.delete(line.socket));
      ready = line.ready;
      return ready;
    };
    const lane: LaneOffer = { meet, failed: () => void failedLanes.set(url, clock.monotonicMs()) };
    return { ...carrier, lane };
  };
  /** `undefined`: the router does not know what that is. */
  const joinBare = async (
    router: RouterAddress,
    first: Uint8Array,
    { onWaiting }: JoinHooks,
    signal: AbortSignal,
  ): Promise<JoinedCarrier | undefined> => {
    const { url } = router;
    const line = await dialBare(
      { url, ca: trustedFor(router), limitMs: CONNECT_LIMIT_MS },
      { clock, toError: (thrown) => toUnavailable(url, thrown) },
      signal,
    );
    if (line === undefined) {
      http2Only.set(url, clock.monotonicMs());
      return undefined;
    }
    const { socket, stream } = line;
    bareSockets.add(socket);
    socket.once("close", () => bareSockets.delete(socket));
    try {
      const hooks = { onWaiting: onWaiting ?? (() => undefined), onOver: () => undefined };
      const carrier = await callJoin({ stream, url, first }, hooks, signal);
      line.joined();
      return carrier;
    } catch (thrown) {
      // It was not even refused in words: whoever is there speaks HTTP/2 and nothing else, and is asked so the next time.
      if (!stream.hasAnswer && !signal.aborted) http2Only.set(url, clock.monotonicMs());
      throw thrown;
    }
  };

  return {
    join: async (target, hooks, signal) => {
      signal.throwIfAborted();
      const { router, ticket } = target;
      const join = toBinary(
        JoinRequestSchema,
        create(JoinRequestSchema, {
          message: {
            case: "join",
            value: {
              $typeName: "sluice.router.v1.Join",
              ticket,
              client,
              lane: wantsLane(target),
            },
          },
        }),
      );
      const first = prefixMessage(join);
      if (speaksBare(target)) {
        const carrier = await joinBare(router, first, hooks, signal);
        if (carrier !== undefined) return withLane(carrier, target);
      }
      const { key, line } = take(target);
      try {
        await abortable(line.connected, signal);
      } catch (thrown) {
        release(line);
        throw thrown;
      }
      try {
        const carrier = await callJoin(
          {
            stream: requestJoin(line.session, router.url),
            url: router.url,
            first: withFrame(first, target.firstFrame),
          },
          { onWaiting: hooks.onWaiting ?? (() => undefined), onOver: () => release(line) },
          signal,
        );
        return withLane(carrier, target);
      } catch (thrown) {
        // It is about to end, or has lost its way: another connection may lead to another router behind the same address.
        if (thrown instanceof AppError && thrown.code === "unavailable") retire(key, line);
        throw thrown;
      }
    },
    prepare: (target) => {
      const { line } = take(target);
      void line.connected.catch(() => undefined).then(() => release(line));
    },
    close: () => {
      for (const { session } of [...lines.values()]) session.destroy();
      for (const socket of bareSockets) socket.destroy();
    },
  };
}

/** It may be as much as a connection takes. */
function mayFill(traffic: Traffic): boolean {
  return traffic === "piped" || traffic.startsWith("bulk-");
}

/** What goes first on a call, with a frame behind it. */
function withFrame(first: Uint8Array, frame: string | undefined): Uint8Array {
  return frame === undefined ? first : Buffer.concat([first, ...toFrameMessage([Buffer.from(frame, "base64")])]);
}

function keepAlive(session: ClientHttp2Session, clock: Clock, onNext: (timer: Timer) => void): Timer {
  return clock.timer(PING_MS, () => {
    if (session.destroyed) return;
    const limit = clock.timer(PING_LIMIT_MS, () =>
      session.destroy(new AppError("unavailable", "the router is silent")),
    );
    const isSent = session.ping((thrown) => {
      limit.clear();
      if (thrown === null && !session.destroyed) onNext(keepAlive(session, clock, onNext));
    });
    if (!isSent) limit.clear();
  });
}

function toUnavailable(url: string, thrown: unknown): AppError {
  const reason = thrown === undefined ? "the connection ended" : messageOf(thrown);
  return new AppError("unavailable", `the router ${url} cannot be reached: ${reason}`, { cause: thrown });
}

function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
