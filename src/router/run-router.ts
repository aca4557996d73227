import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { BARE_PROTOCOL } from "../base/grpc/bare-stream.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import type { Log } from "../base/log.ts";
import { createMetricsServer } from "../base/metrics-server.ts";
import type { Random } from "../base/random.ts";
import { runServices, type Service } from "../base/service.ts";
import { splitHandshakes } from "../base/split-handshakes.ts";
import { createHubTransport } from "../client/hub-transport.ts";
import type { RouterProgramOptions } from "../config/router-options.ts";
import { createHubBeat } from "./hub-beat.ts";
import type { Router } from "./router.ts";
import { createRouter, ROUTER_DEFAULTS } from "./router-server.ts";

export interface RunRouterDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly addSecret: (secret: string) => void;
  /** Called once it listens, with the port. */
  readonly announce: (port: number) => void;
}

const HANDSHAKE_MS = 10_000;
const CERTIFICATE_LOOK_MS = 60_000;
/** A hub that does not answer must not hold up the end. */
const FAREWELL_MS = 2000;

/** A router of its own, until `stop` aborts and its sessions have gone elsewhere. Rejects with `config` or `conflict`. */
export async function runRouter(options: RouterProgramOptions, deps: RunRouterDeps, stop: AbortSignal): Promise<void> {
  const { clock, random, log } = deps;
  const token = (await read("hub.tokenFile", options.hub.tokenFile)).trim();
  deps.addSecret(token);
  const hubCa = options.hub.caFile === undefined ? undefined : await read("hub.caFile", options.hub.caFile);
  const ca = options.tls?.caFile === undefined ? undefined : await read("tls.caFile", options.tls.caFile);
  const hub = createHubTransport(
    { hub: options.hub.url, token },
    { fetch: createHttpFetch({ ca: hubCa }), clock, random },
  );
  const beat = createHubBeat(
    {
      id: options.id,
      url: options.server.publicUrl,
      peerUrl: options.server.peerUrl,
      ca,
      version: `sluice/${deps.version}`,
    },
    { hub, router: () => router, clock, random, log },
  );
  const { sessions, sessionsPerOperator, windowBytes } = options.limits;
  const router: Router = createRouter(
    {
      ...ROUTER_DEFAULTS,
      id: options.id,
      // Behind a balancer the two connections of an end may come to two routers.
      hasLanes: options.server.peerUrl === undefined,
      limits: { sessions, sessionsPerOperator },
      windowBudgetBytes: windowBytes,
    },
    {
      clock,
      log,
      ticketKeys: beat.ticketKeys,
      onEvent: beat.onEvent,
      ...(options.server.peerUrl === undefined ? {} : { peers: beat.peers }),
    },
  );

  const server = await createServer(options, router, clock);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  log.info(`Router ${options.id} serves port ${port} as ${options.server.publicUrl} for the hub ${options.hub.url}`);
  deps.announce(port);

  const metrics = createMetricsServer(
    { listen: options.metrics },
    { render: () => Promise.resolve(router.metrics()), clock, random, log },
  );
  const life = new AbortController();
  const drainAndEnd = async () => {
    log.info(`The router drains: no new sessions, and ${router.list().length} go elsewhere.`);
    const drained = router.drain(options.server.drainMs);
    // Who joins anew from now on is to come to another one behind the same address.
    if (options.server.peerUrl !== undefined) server.close();
    const tell = () => beat.tell(AbortSignal.timeout(FAREWELL_MS)).catch(() => undefined);
    await Promise.all([drained, tell()]);
    await tell();
    life.abort(new AppError("cancelled", "the router is ending"));
  };
  stop.addEventListener("abort", () => void drainAndEnd(), { once: true });
  if (stop.aborted) void drainAndEnd();
  try {
    await runServices([metrics, beat, createCertificateWatch(options, server, deps)], life.signal);
  } finally {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}

async function createServer({ tls }: RouterProgramOptions, router: Router, clock: Clock): Promise<Server> {
  if (tls === undefined) return createPlainServer({ noDelay: true }, (socket) => router.serve(socket));
  const identity = await readIdentity(tls);
  const given = {
    ...identity,
    ALPNProtocols: [BARE_PROTOCOL, "h2"],
    minVersion: "TLSv1.2",
    handshakeTimeout: HANDSHAKE_MS,
  } as const;
  const server = createTlsServer({ ...given, noDelay: true }, (socket) => router.serve(socket));
  // A socket that breaks during its handshake is told to nobody.
  server.on("tlsClientError", () => undefined);
  const serveOther = (socket: Socket) => router.serve(socket, { isLaneOnly: true });
  splitHandshakes(server, { serveOther, firstBytesMs: HANDSHAKE_MS }, { clock });
  return server;
}

/** Certificates are renewed while the router runs: a new one is shown to who connects from then on. */
function createCertificateWatch(
  { tls }: RouterProgramOptions,
  server: Server | TlsServer,
  { clock, log }: RunRouterDeps,
): Service {
  return {
    name: "certificate",
    run: async (signal) => {
      let shown = tls === undefined ? undefined : await readIdentity(tls);
      while (!signal.aborted) {
        await clock.delay(CERTIFICATE_LOOK_MS, signal).catch(() => undefined);
        if (tls === undefined || signal.aborted || !("setSecureContext" in server)) continue;
        try {
          const found = await readIdentity(tls);
          if (found.cert === shown?.cert && found.key === shown.key) continue;
          server.setSecureContext(found);
          shown = found;
          log.info("The router shows a new certificate.");
        } catch (thrown) {
          log.warn(`The certificate stays as it was: ${messageOf(thrown)}`);
        }
      }
    },
  };
}

async function readIdentity({ certFile, keyFile }: NonNullable<RouterProgramOptions["tls"]>) {
  return { cert: await read("tls.certFile", certFile), key: await read("tls.keyFile", keyFile) };
}

async function read(key: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    throw new AppError("config", `${key}: ${path} cannot be read: ${messageOf(thrown)}`, { field: key, cause: thrown });
  }
}

async function listen(server: Server, { server: { host, port } }: RouterProgramOptions): Promise<void> {
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (thrown) {
    const code = errnoOf(thrown) === "EADDRINUSE" ? "conflict" : "config";
    throw new AppError(code, `the router cannot listen on ${host}:${port}: ${messageOf(thrown)}`, { cause: thrown });
  }
}
