import type { KeyObject } from "node:crypto";
import { fullJitterMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Service } from "../base/service.ts";
import type { HubTransport } from "../client/hub-transport.ts";
import {
  ROUTER_BEAT_SECONDS,
  type RouterBeat,
  type RouterBeatAnswer,
  type RouterChange,
  type RouterFigure,
  routerBeatAnswerSchema,
  ticketKeysSchema,
} from "../contract/fleet/router.ts";
import type { RouterAddress } from "../contract/remote/offer.ts";
import { type TicketKey, toVerifyKey } from "../contract/remote/ticket-key.ts";
import type { Router, RouterEvent, RouterPeers, RouterSession, TicketKeys } from "./router.ts";

/** What a router of its own and its hub tell each other: who is here, what becomes of sessions, keys of tickets. */
export interface HubBeat extends Service {
  readonly ticketKeys: TicketKeys;
  readonly peers: RouterPeers;
  onEvent(event: RouterEvent): void;
  /** Tells the hub now, beside what `run` does. Rejects as a request does. */
  tell(signal: AbortSignal): Promise<void>;
}

export interface HubBeatOptions {
  readonly id: string;
  readonly url: string;
  readonly peerUrl: string | undefined;
  /** PEM. */
  readonly ca: string | undefined;
  readonly version: string;
}

const RETRY = { baseMs: 500, maxMs: 10_000 } as const;
/** The hub takes no more with one beat. */
const MAX_CHANGES = 1000;
const MAX_KEPT_CHANGES = 10_000;
/** What follows a change at once is told with it: a short session opens and ends within one beat. */
const COMPANY_MS = 25;
const REFRESH_EVERY_MS = 5000;
const PEERS_WITHIN_MS = 1000;

export function createHubBeat(
  options: HubBeatOptions,
  deps: {
    readonly hub: Pick<HubTransport, "ask">;
    readonly router: () => Router;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
  },
): HubBeat {
  const { hub, router, clock, random, log } = deps;
  const keys = new Map<string, KeyObject>();
  /** Oldest first. More than the hub hears of in time are lost: it then finds out by the list of who is here. */
  const changes: RouterChange[] = [];
  let ended = new Map<string, string>();
  let ring = Promise.withResolvers<void>();
  let refreshedAtMs = Number.NEGATIVE_INFINITY;
  let peers = new Map<string, RouterAddress>();
  let askingForPeers: Promise<unknown> | undefined;

  const note = (change: RouterChange) => {
    changes.push(change);
    if (changes.length > MAX_KEPT_CHANGES) changes.shift();
    ring.resolve();
  };
  const takeKeys = (given: readonly TicketKey[]) => {
    const ids = new Set(given.map(({ kid }) => kid));
    for (const kid of keys.keys()) if (!ids.has(kid)) keys.delete(kid);
    for (const jwk of given) {
      const key = keys.has(jwk.kid) ? undefined : toVerifyKey(jwk);
      if (key !== undefined) keys.set(jwk.kid, key);
    }
  };
  const take = (answer: RouterBeatAnswer) => {
    takeKeys(answer.keys);
    peers = new Map(answer.peers.map((peer) => [peer.id, peer]));
    ended = new Map(answer.ended.map(({ id, message }) => [id, message]));
    for (const [id, message] of ended) router().terminate(id, message);
  };

  /** One at a time: each takes away what it has told. */
  let telling: Promise<unknown> = Promise.resolve();
  const beat = (signal: AbortSignal): Promise<RouterBeatAnswer> => {
    const next = telling.then(() => beatOnce(signal));
    telling = next.catch(() => undefined);
    return next;
  };
  const beatOnce = async (signal: AbortSignal) => {
    const sent = changes.slice(0, MAX_CHANGES);
    const body: RouterBeat = {
      ...{ id: options.id, url: options.url, version: options.version },
      ...(options.peerUrl === undefined ? {} : { peerUrl: options.peerUrl }),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      draining: router().isDraining,
      sessions: router()
        .list()
        .filter(({ state }) => state === "open")
        .map(figureOf),
      changes: sent,
    };
    const call = { method: "POST", path: "/v1/routers", body } as const;
    const answer = await hub.ask(call, routerBeatAnswerSchema, signal);
    changes.splice(0, sent.length);
    take(answer);
    return answer;
  };

  return {
    name: "hub",
    ticketKeys: {
      get: (id) => keys.get(id),
      refresh: async () => {
        // Tickets with keys that nobody knows must not make the router ask all the time.
        if (clock.monotonicMs() - refreshedAtMs < REFRESH_EVERY_MS) return;
        refreshedAtMs = clock.monotonicMs();
        const call = { path: "/v1/routers/keys" };
        const found = await hub
          .ask(call, ticketKeysSchema, AbortSignal.timeout(REFRESH_EVERY_MS))
          .catch(() => undefined);
        if (found !== undefined) takeKeys(found.keys);
      },
    },
    peers: {
      get: (id) => peers.get(id),
      // One that has just begun is known to the hub before it is to us. Those who ask meanwhile wait for one answer.
      refresh: async () => {
        askingForPeers ??= beat(AbortSignal.timeout(PEERS_WITHIN_MS)).finally(() => {
          askingForPeers = undefined;
        });
        await askingForPeers.catch(() => undefined);
      },
    },
    onEvent: (event) => {
      const { id, ageMs, bytesToBox, bytesFromBox } = event.session;
      if (event.kind === "ended") {
        const { reason, message, by } = event.end;
        const told = { reason, message: message.slice(0, 1000), ...(by === undefined ? {} : { by }) };
        note({ id, what: "parted", ...told, bytesToBox, bytesFromBox });
        return;
      }
      const message = ended.get(id);
      // Not while the router is about to take it in.
      if (message !== undefined) queueMicrotask(() => router().terminate(id, message));
      if (event.kind === "open") note({ id, what: "open", rendezvousMs: Math.round(ageMs) });
    },
    tell: async (signal) => {
      await beat(signal);
    },
    run: async (signal) => {
      let failures = 0;
      while (!signal.aborted) {
        ring = Promise.withResolvers<void>();
        let waitMs = ROUTER_BEAT_SECONDS * 1000;
        try {
          waitMs = (await beat(signal)).beatSeconds * 1000;
          if (failures > 0) log.info("The hub answers again.");
          failures = 0;
        } catch (thrown) {
          if (signal.aborted) return;
          if (failures === 0) log.warn(`The hub does not take this router for now: ${messageOf(thrown)}`);
          waitMs = fullJitterMs(failures, RETRY, random);
          failures += 1;
        }
        const rest = new AbortController();
        const pause = clock.delay(waitMs, AbortSignal.any([signal, rest.signal])).catch(() => undefined);
        // A change is told with what follows it at once, where the hub listens.
        if (failures > 0) await pause;
        else if (changes.length === 0) await Promise.race([pause, ring.promise]);
        rest.abort();
        if (changes.length > 0) await clock.delay(COMPANY_MS, signal).catch(() => undefined);
      }
    },
  };
}

function figureOf(session: RouterSession): RouterFigure {
  const { id, bytesToBox, bytesFromBox } = session;
  return {
    id,
    bytesToBox,
    bytesFromBox,
    boxStalledMs: Math.round(session.boxStalledMs),
    operatorStalledMs: Math.round(session.operatorStalledMs),
    boxQuietMs: Math.round(session.boxQuietMs),
    operatorQuietMs: Math.round(session.operatorQuietMs),
  };
}
