import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { TransferPeer } from "../../contract/transfer/assignment.ts";
import { fault } from "../fault.ts";
import { connectForBulk } from "./big-reads.ts";
import { createDataLink, type DataLink } from "./data-link.ts";
import type { EndpointTurns, EndpointUse } from "./endpoint-turns.ts";
import { FRAME, jsonFrame } from "./frames.ts";
import { DATA_PLANE_VERSION } from "./link-messages.ts";
import { createLinkTurn, type LinkTurn } from "./link-turns.ts";
import { clientOptions, fingerprintOf, type Identity } from "./worker-tls.ts";

export interface DialDeps {
  readonly clock: Clock;
  readonly identity: () => Identity;
  readonly endpoints: EndpointTurns;
  /** `roundTripMs` of somebody is another than before. */
  readonly onRoundTrip: () => void;
}

/** Connections to other workers. One that has served is kept a while for the next lease with the same peer. */
export interface Dialler {
  /** Says hello with the peer's ticket. Rejects with `unreachable` in one sentence that names every endpoint. */
  dial(peer: TransferPeer, way: "pull" | "push", signal: AbortSignal): Promise<DialledLink>;
  /** To a worker and back, by the quickest connection of the last while; `undefined`: it was not dialled yet. */
  roundTripMs(worker: string): number | undefined;
  /** Ends what is kept. Work that still has a connection, lent or not, ends with its own signal: its connection is not kept then. */
  close(): void;
}

export interface DialledLink {
  readonly link: DataLink;
  /** Who is at its other end. */
  readonly worker: string;
  /** What was asked for is nearly all here: the next lease with the same peer may ask on it. Again: nothing. */
  lend(): void;
  /** Everything on it has been answered: it may serve again. */
  keep(): void;
  /** It did not get on: its network is the last that is tried for a while. */
  broke(): void;
}

const CONNECT_MS = 5000;
/** Shorter than the other side waits for a word: `IDLE_MS`. */
const KEPT_MS = 20_000;
const MAX_KEPT = 16;
/** After that a longer way is believed. */
const QUICKEST_MS = 10 * 60_000;

interface Connection {
  readonly link: DataLink;
  readonly use: EndpointUse;
}

interface Lent extends Connection {
  readonly key: string;
  readonly turn: LinkTurn;
}

export function createDialler(deps: DialDeps): Dialler {
  const kept: (Connection & { readonly key: string; readonly untilMs: number })[] = [];
  const lent: Lent[] = [];
  let isClosed = false;
  const quickest = new Map<string, { readonly ms: number; readonly atMs: number }>();
  const measured = (worker: string, ms: number) => {
    const before = quickest.get(worker);
    const atMs = deps.clock.monotonicMs();
    if (before !== undefined && ms >= before.ms && atMs - before.atMs <= QUICKEST_MS) return;
    quickest.set(worker, { ms, atMs });
    deps.onRoundTrip();
  };
  const open = async (peer: TransferPeer, signal: AbortSignal): Promise<Connection> => {
    const { socket, use } = await connectAny(peer, { ...deps, measured }, signal);
    socket.once("close", () => use.over(false));
    return { link: createDataLink(socket, deps.clock), use };
  };
  const isOpen = (one: Lent | undefined) => one?.link.isOpen() === true && one.turn.isWanted();
  const sweep = () => {
    const nowMs = deps.clock.monotonicMs();
    for (let at = kept.length - 1; at >= 0; at--) {
      const one = kept[at];
      if (one === undefined || (one.untilMs > nowMs && one.link.isOpen())) continue;
      one.link.close();
      kept.splice(at, 1);
    }
    for (let at = lent.length - 1; at >= 0; at--) if (!isOpen(lent[at])) lent.splice(at, 1);
  };
  const forget = (turn: LinkTurn) => {
    const at = lent.findIndex((one) => one.turn === turn);
    if (at !== -1) lent.splice(at, 1);
  };
  const takeLent = (key: string) => {
    const at = lent.findIndex((one) => one.key === key);
    return at === -1 ? undefined : lent.splice(at, 1)[0];
  };
  return {
    dial: async (peer, way, signal) => {
      const key = JSON.stringify([peer.worker_id, peer.certificate_sha256, peer.endpoints, way]);
      const hello = helloFrame(way, peer.ticket);
      sweep();
      const index = kept.findIndex((one) => one.key === key);
      const found = index === -1 ? undefined : kept.splice(index, 1)[0];
      const ahead = found === undefined ? takeLent(key) : undefined;
      const { link, use } = found ?? ahead ?? (await open(peer, signal));
      const turn = ahead?.turn.follow() ?? createLinkTurn(link);
      if (ahead === undefined) link.wake();
      link.send(hello).catch(() => undefined);
      let isLent = false;
      return {
        link: turn.link,
        worker: peer.worker_id,
        broke: () => {
          if (turn.hasBegun()) use.over(true);
        },
        lend: () => {
          if (isLent || way === "push") return;
          isLent = true;
          lent.push({ key, link, use, turn });
        },
        keep: () => {
          if (turn.hasFollower()) return;
          forget(turn);
          if (isClosed || !link.isOpen() || kept.length >= MAX_KEPT || way === "push") return link.close();
          link.rest();
          kept.push({ key, link, use, untilMs: deps.clock.monotonicMs() + KEPT_MS });
          deps.clock.timer(KEPT_MS + 100, sweep);
        },
      };
    },
    roundTripMs: (worker) => quickest.get(worker)?.ms,
    close: () => {
      isClosed = true;
      for (const { link } of kept.splice(0)) link.close();
    },
  };
}

export function helloFrame(way: "pull" | "push", ticket: string): Buffer {
  return jsonFrame(FRAME.hello, { version: DATA_PLANE_VERSION, way, ticket });
}

interface Opened {
  readonly socket: Socket;
  readonly use: EndpointUse;
}

interface ConnectDeps extends DialDeps {
  readonly measured: (worker: string, ms: number) => void;
}

async function connectAny(peer: TransferPeer, deps: ConnectDeps, signal: AbortSignal): Promise<Opened> {
  const problems: string[] = [];
  for (const endpoint of deps.endpoints.inTurn(peer.worker_id, peer.endpoints)) {
    signal.throwIfAborted();
    const use = deps.endpoints.use(peer.worker_id, endpoint.address);
    try {
      return { socket: await connectOne(peer, endpoint, deps, signal), use };
    } catch (thrown) {
      use.over(!signal.aborted);
      problems.push(`${endpoint.address}: ${messageOf(thrown)}`);
    }
  }
  signal.throwIfAborted();
  const why = problems.length === 0 ? "it has no endpoint" : problems.join("; ");
  throw fault("unreachable", `${peer.worker_id} cannot be reached: ${why}`);
}

function connectOne(
  { certificate_sha256: pin, worker_id: worker }: TransferPeer,
  { address, trusted }: TransferPeer["endpoints"][number],
  { clock, identity, measured }: ConnectDeps,
  signal: AbortSignal,
): Promise<Socket> {
  const place = splitAddress(address);
  if (!trusted && pin === undefined) {
    throw fault("unreachable", `${worker} shows no certificate, and its endpoint is not trusted`);
  }
  return new Promise((resolve, reject) => {
    const socket = connectForBulk(place, trusted ? undefined : clientOptions(identity()));
    let begunMs = clock.monotonicMs();
    // Whoever knows the name may be elsewhere.
    socket.once("lookup", () => {
      begunMs = clock.monotonicMs();
    });
    socket.once("connect", () => measured(worker, clock.monotonicMs() - begunMs));
    const fail = (error: unknown) => {
      end();
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    const timer = clock.timer(CONNECT_MS, () => fail(fault("unreachable", `no answer within ${CONNECT_MS / 1000} s`)));
    const end = () => {
      timer.clear();
      signal.removeEventListener("abort", onAbort);
      socket.removeListener("error", fail);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", fail);
    socket.once(trusted ? "connect" : "secureConnect", () => {
      if (!trusted && fingerprintOf(socket as TLSSocket) !== pin) {
        return fail(
          fault("denied", `another than ${worker} answers there: its certificate is not the one that the hub knows`),
        );
      }
      end();
      socket.on("error", () => undefined);
      resolve(socket);
    });
  });
}

/** `10.0.0.5:8470`, `[2001:db8::5]:8470`. Throws `unreachable` for what is none. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || !(port > 0 && port <= 65_535)) {
    throw fault("unreachable", `${address} is no address with a port`);
  }
  return { host, port };
}
