import { randomBytes } from "node:crypto";
import { systemClock } from "../base/clock.ts";
import { createMemoryLog, type MemoryLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { runServices } from "../base/service.ts";
import { createAuthenticator } from "./auth/authenticator.ts";
import { createSecretBox, type SecretBox } from "./auth/secret-box.ts";
import { hashSecret } from "./auth/secret-hash.ts";
import { type HttpServer, startHttpServer } from "./http/http-server.ts";
import type { CreateRouter } from "./hub.ts";
import { createLive, LIVE_DEFAULTS, type Live, type LiveOptions } from "./live.ts";
import type { MountedRouter } from "./remote/mounted-router.ts";
import { ownRouterId } from "./remote/remote-parts.ts";
import type { BoxKey } from "./store/box.ts";
import { createMemoryStore } from "./store/memory/memory-store.ts";
import type { Store } from "./store/store.ts";

export const VIEWER = "viewer-token-of-the-tests";
export const OPERATOR = "operator-token-of-the-tests";

/** A hub with the live part alone, over real HTTP on a free port. */
export interface LiveHub extends AsyncDisposable {
  readonly origin: string;
  readonly store: Store;
  readonly live: Live;
  readonly log: MemoryLog;
  close(): Promise<void>;
}

export interface LiveHubWish {
  readonly store?: Store;
  readonly options?: Partial<LiveOptions>;
  readonly hubId?: string;
  readonly port?: number;
  readonly createRouter?: CreateRouter;
  /** Left out: one of its own; `null`: none. */
  readonly secrets?: SecretBox | null;
}

const RATE = { perSecond: 1e6, burst: 1e6 };

export function memoryStore(): Store {
  return createMemoryStore({ newId: () => randomBytes(4).toString("hex") });
}

export async function startLiveHub(wish: LiveHubWish = {}): Promise<LiveHub> {
  const store = wish.store ?? memoryStore();
  const log = createMemoryLog();
  const life = new AbortController();
  const context = {
    hubId: wish.hubId ?? randomBytes(4).toString("hex"),
    version: "0.0.0",
    store,
    clock: systemClock,
    random: systemRandom,
    log,
    newSecret: () => randomBytes(32).toString("base64url"),
    secrets: wish.secrets === null ? undefined : (wish.secrets ?? createSecretBox(randomBytes(32))),
    life: life.signal,
  };
  let http: HttpServer | undefined;
  let router: MountedRouter | undefined;
  const authenticator = createAuthenticator({ store, clock: systemClock });
  const live = createLive(
    {
      ...LIVE_DEFAULTS,
      manyHubs: false,
      webhookNetworks: ["127.0.0.0/8"],
      advertisedUrl: () => http?.origin,
      ...wish.options,
    },
    context,
    { authenticator, ...(wish.createRouter === undefined ? {} : { router: () => router }) },
  );
  const { publicKey, refresh } = live.remote.ticketKeys;
  router = wish.createRouter?.(
    { id: ownRouterId(context.hubId), sessions: 100 },
    { clock: systemClock, log, ticketKeys: { get: publicKey, refresh }, onEvent: live.remote.onRouterEvent },
  );
  const services = runServices(live.services, life.signal);
  http = await startHttpServer(
    live.routes,
    {
      host: "127.0.0.1",
      port: wish.port ?? 0,
      trustedProxies: [],
      rates: { operator: RATE, box: RATE, worker: RATE, address: RATE },
      bodyTimeoutMs: 5000,
      drainMs: 500,
      pages: { directories: [], version: "0.0.0" },
    },
    { context, authenticator },
  );
  await live.presence.ready;
  const { origin } = http;
  const close = async () => {
    if (life.signal.aborted) return;
    life.abort();
    await services;
    await http?.close();
    authenticator.close();
  };
  return { origin, store, live, log, close, [Symbol.asyncDispose]: close };
}

/** Tokens for people, as a first start makes them. */
export async function addOperators(store: Store): Promise<void> {
  const nowMs = systemClock.wallMs();
  const all = [
    { id: "viewer", role: "viewer", secret: VIEWER },
    { id: "operator", role: "operator", secret: OPERATOR },
  ] as const;
  for (const { id, role, secret } of all) {
    await store.operatorTokens.create({ id, name: id, role, hash: hashSecret(secret), createdMs: nowMs }, { nowMs });
  }
}

/** Enrols a box and gives the key that opens its routes. */
export async function addBox(store: Store, boxId: string, wish: { readonly approve?: boolean } = {}): Promise<string> {
  const nowMs = systemClock.wallMs();
  const key = `key-of-${boxId}-${randomBytes(8).toString("hex")}`;
  const tokenHash = randomBytes(8).toString("hex");
  await store.enrolmentTokens.create(
    {
      hash: tokenHash,
      id: tokenHash,
      createdMs: nowMs,
      expiresMs: nowMs + 60_000,
      labels: {},
      approve: wish.approve ?? true,
    },
    { nowMs },
  );
  const keyHash: BoxKey["hash"] = hashSecret(key);
  await store.boxes.enrol({ tokenHash, boxId, name: boxId, labels: {}, keyHash }, { nowMs });
  return key;
}
