import type { KeyObject } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { runServices, type Service } from "../base/service.ts";
import type { RunProgram } from "../base/spawn.ts";
import type { HubOptions } from "../config/hub-options.ts";
import { createAuthenticationService } from "./auth/authentication-service.ts";
import { type Authenticator, createAuthenticator } from "./auth/authenticator.ts";
import { createFirstToken, createFirstTokenService } from "./auth/first-token.ts";
import { loadSecretBox } from "./auth/load-secret-box.ts";
import { createTokenRoutes } from "./auth/token-routes.ts";
import { createAuditRoute } from "./fleet/audit-route.ts";
import { createBackupRoute } from "./fleet/backup-route.ts";
import { createBoxReader } from "./fleet/box-reader.ts";
import { createBoxRoutes } from "./fleet/box-routes.ts";
import { createCommandRoutes } from "./fleet/command-routes.ts";
import { createEnrolmentRoutes } from "./fleet/enrolment-routes.ts";
import { createExpectedRoutes } from "./fleet/expected-routes.ts";
import { createOverviewRoutes } from "./fleet/overview-routes.ts";
import { createPictureRoute } from "./fleet/picture-route.ts";
import { createRolloutRoutes } from "./fleet/rollout-routes.ts";
import { createRolloutService } from "./fleet/rollout-service.ts";
import { createHealthRoutes } from "./http/health-routes.ts";
import { type HttpServer, startHttpServer } from "./http/http-server.ts";
import type { PageDirectory } from "./http/page-directories.ts";
import type { Route } from "./http/route.ts";
import type { HubContext } from "./hub-context.ts";
import { createLive, LIVE_DEFAULTS } from "./live.ts";
import { createMaintenance } from "./maintenance.ts";
import { openStore } from "./open-store.ts";
import type { MountedEvent, MountedRouter } from "./remote/mounted-router.ts";
import { REMOTE_DEFAULTS } from "./remote/remote-options.ts";
import { ownRouterId, type RemoteParts } from "./remote/remote-parts.ts";
import { loadClientCertificates } from "./tls/client-certificates.ts";
import { loadServerIdentity } from "./tls/server-identity.ts";

export interface HubDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly runProgram: RunProgram;
  readonly newId: () => string;
  readonly newSecret: () => string;
  readonly version: string;
  readonly hostname: string;
  /** Files of the dashboard, and packages whose files its pages load. */
  readonly pages: readonly PageDirectory[];
  /** Makes an admin token at this start, although there were some. */
  readonly newAdminToken?: boolean;
  readonly announce: (started: StartedHub) => void;
  /** Left out: this hub is no router. */
  readonly createRouter?: CreateRouter | undefined;
}

/** `src/router` without what the hub need not know of it. */
export type CreateRouter = (
  options: { readonly id: string; readonly sessions: number },
  deps: {
    readonly clock: Clock;
    readonly log: Log;
    readonly ticketKeys: { get(id: string): KeyObject | undefined; refresh(): Promise<void> };
    readonly onEvent: (event: MountedEvent) => void;
  },
) => MountedRouter;

/** Told when the hub can be used, and again with the first token where the store was away until then. */
export interface StartedHub {
  /** Where it can be reached from outside, as far as it knows. */
  readonly url: string;
  readonly port: number;
  readonly caSha256: string | undefined;
  /** The token that opens everything; only at the first start of a store. */
  readonly adminToken: string | undefined;
}

const BURST_SECONDS = 8;
const BODY_TIMEOUT_MS = 15_000;

/**
 * Runs a hub until `stop` aborts. Rejects with `config`, with `conflict` when the address or the store's file is in use,
 * and with the store's own error when it cannot be opened.
 */
export async function runHub(options: HubOptions, deps: HubDeps, stop: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  await makeDirectory(options.files.dataDir);
  const identity = await loadServerIdentity(options, deps);
  const clientCertificates = await loadClientCertificates(options, deps);
  const secrets = await loadSecretBox(options, deps);
  const store = await openStore(options.store, deps);
  const life = new AbortController();
  const context: HubContext = {
    hubId: deps.newId(),
    version: deps.version,
    store,
    clock,
    random: deps.random,
    log,
    newSecret: deps.newSecret,
    secrets,
    life: life.signal,
  };
  let server: HttpServer | undefined;
  let router: MountedRouter | undefined;
  try {
    const listened = () => guessUrl(options, { hostname: deps.hostname, port: server?.port ?? 0 });
    const ownUrl = () => options.server.ownUrl ?? (options.store.kind === "redis" ? listened() : url());
    const url = () => options.server.publicUrl ?? listened();
    const hub = () => ({ url: url(), caSha256: identity.caSha256 });
    const mayRoute = deps.createRouter !== undefined && options.remote?.ownRouter !== false;
    const authenticator = createAuthenticator({ ...context, isAlone: options.store.kind !== "redis" });
    const ownRouter = mayRoute ? () => router : undefined;
    const parts = createParts(options, { context, hub, ownUrl, router: ownRouter, authenticator });
    if (mayRoute) router = mountRouter(options, parts.remote, { ...deps, hubId: context.hubId });
    // Before anything is served, where the store answers: whoever starts a hub sees its token with its address.
    const first = await createFirstToken(context, { another: deps.newAdminToken === true }).then(
      (adminToken) => ({ adminToken, isTold: true }),
      (thrown: unknown) => {
        log.error(`The store does not answer; the hub says 503 until it does: ${messageOf(thrown)}`);
        return { adminToken: undefined, isTold: false };
      },
    );
    const http = { ...httpOptions(options, identity.tls, deps), clientCertificates, router };
    server = await startHttpServer(parts.routes, http, { context, authenticator });
    log.info(`The hub serves ${server.origin} as ${url()}, with its state in ${describeStore(options)}`);
    const facts = { url: url(), port: server.port, caSha256: identity.caSha256 };
    deps.announce({ ...facts, adminToken: first.adminToken });
    const onToken = (adminToken: string) => deps.announce({ ...facts, adminToken });
    const late = first.isTold
      ? []
      : [createFirstTokenService(context, { another: deps.newAdminToken === true, onToken })];
    const rights = [
      createAuthenticationService(authenticator, context),
      ...(clientCertificates === undefined ? [] : [clientCertificates]),
    ];
    await runServices([...rights, ...late, ...parts.services], stop);
  } finally {
    life.abort(new AppError("cancelled", "the hub is ending"));
    await server?.close();
    await store.close();
  }
}

function mountRouter(
  options: HubOptions,
  remote: RemoteParts,
  deps: HubDeps & { readonly hubId: string },
): MountedRouter | undefined {
  const { clock, log, hubId } = deps;
  const { total } = options.remote ?? REMOTE_DEFAULTS;
  const { publicKey, refresh } = remote.ticketKeys;
  return deps.createRouter?.(
    { id: ownRouterId(hubId), sessions: total },
    { clock, log, ticketKeys: { get: publicKey, refresh }, onEvent: remote.onRouterEvent },
  );
}

interface Parts {
  readonly remote: RemoteParts;
  readonly routes: readonly Route[];
  readonly services: readonly Service[];
}

/** Everything that this hub does, as routes and as services. */
export function createParts(
  options: Pick<HubOptions, "enrolment" | "store" | "files"> &
    Partial<Pick<HubOptions, "metrics" | "webhooks" | "sessions" | "remote">>,
  deps: {
    readonly context: HubContext;
    readonly hub: () => { readonly url: string; readonly caSha256: string | undefined };
    /** Where boxes reach this very hub. */
    readonly ownUrl?: () => string;
    /** This hub's own router, once it is there; left out: it has none. */
    readonly router?: (() => MountedRouter | undefined) | undefined;
    readonly authenticator: Authenticator;
  },
): Parts {
  const { context, hub, ownUrl = () => hub().url } = deps;
  const manyHubs = options.store.kind === "redis";
  const webhookNetworks = options.webhooks?.allowedNetworks ?? [];
  const { metrics, sessions } = options;
  const live = createLive(
    {
      ...LIVE_DEFAULTS,
      manyHubs,
      advertisedUrl: ownUrl,
      metrics,
      webhookNetworks,
      sessionsPerUser: sessions?.perUser,
      remote: options.remote ?? REMOTE_DEFAULTS,
      recordings: {
        directory: join(options.files.dataDir, "recordings"),
        mode: options.remote?.recordings ?? "off",
        days: options.remote?.recordingDays,
      },
    },
    context,
    { authenticator: deps.authenticator, router: deps.router },
  );
  const reader = createBoxReader(context, live.boxStates);
  const approve = options.enrolment.approval === "automatic";
  return {
    remote: live.remote,
    routes: [
      ...createHealthRoutes(context),
      ...createTokenRoutes(context),
      ...createOverviewRoutes(context, { reader }),
      ...createBoxRoutes(context, { reader }),
      ...createExpectedRoutes(context),
      createPictureRoute(context),
      ...createCommandRoutes(context),
      ...createRolloutRoutes(context),
      ...createEnrolmentRoutes(context, { approve, hub }, { reader }),
      createAuditRoute(context),
      createBackupRoute(context),
      ...live.routes,
    ],
    services: [createMaintenance(context), createRolloutService(context), ...live.services],
  };
}

function httpOptions(
  options: HubOptions,
  tls: { readonly cert: string; readonly key: string } | undefined,
  deps: HubDeps,
) {
  const { operatorPerSecond, boxPerSecond, workerPerSecond, addressPerSecond } = options.limits;
  const rate = (perSecond: number) => ({ perSecond, burst: perSecond * BURST_SECONDS });
  return {
    ...options.server,
    tls,
    rates: {
      operator: rate(operatorPerSecond),
      box: rate(boxPerSecond),
      worker: rate(workerPerSecond),
      address: rate(addressPerSecond),
    },
    bodyTimeoutMs: BODY_TIMEOUT_MS,
    pages: { directories: deps.pages, version: deps.version },
  };
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw new AppError("config", `files.dataDir: ${directory} cannot be made: ${messageOf(thrown)}`, {
      field: "files.dataDir",
      cause: thrown,
    });
  }
}

function guessUrl(
  { server, tls }: Pick<HubOptions, "server" | "tls">,
  { hostname, port }: { readonly hostname: string; readonly port: number },
): string {
  const isAny = server.host === "0.0.0.0" || server.host === "::";
  const host = isAny ? hostname : server.host.includes(":") ? `[${server.host}]` : server.host;
  return `${tls.mode === "off" ? "http" : "https"}://${host}:${port}`;
}

function describeStore({ store }: Pick<HubOptions, "store">): string {
  if (store.kind === "memory") return "memory";
  return store.kind === "sqlite"
    ? store.path
    : `Redis at ${store.sentinel?.masterName ?? `${store.host}:${store.port}`}`;
}
