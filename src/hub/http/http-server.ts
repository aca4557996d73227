import { createServer as createPlainServer, type IncomingMessage, type Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import Fastify, { type FastifyInstance } from "fastify";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { HubContext } from "../hub-context.ts";
import type { MountedRouter } from "../remote/mounted-router.ts";
import type { ClientCertificates } from "../tls/client-certificates.ts";
import { createOpenStreams } from "./open-streams.ts";
import { type PageOptions, registerPages } from "./pages.ts";
import { createRateLimiter } from "./rate-limit.ts";
import type { Route } from "./route.ts";
import { API_HEADERS } from "./security-headers.ts";
import { type CallRates, sendError, serveRoute } from "./serve-route.ts";
import { HTTP2_PROTOCOLS, splitHttp2 } from "./split-http2.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** PEM. Absent: plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Certificates that boxes show. Every client is asked; who is no box needs none. */
  readonly clientCertificates?: ClientCertificates | undefined;
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly rates: CallRates;
  readonly bodyTimeoutMs: number;
  /** How long answers under way may take when the hub ends. */
  readonly drainMs: number;
  readonly pages: PageOptions;
  /** Gets every connection that speaks HTTP/2, and with TLS those without (lanes of sessions). Absent: only HTTP/1.1 is spoken here. */
  readonly router?: Pick<MountedRouter, "serve" | "drain"> | undefined;
}

export interface HttpServer {
  /** Where it listens: `https://127.0.0.1:8443`. */
  readonly origin: string;
  readonly port: number;
  /** No new connections; answers under way are finished, event streams end, and what is still open after `drainMs` is cut. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 65_000;
const MAX_HEADER_BYTES = 16 * 1024;

/** Listens once all routes are in place. Rejects with `conflict` (the address is in use) or `config`. */
export async function startHttpServer(
  routes: readonly Route[],
  options: HttpServerOptions,
  deps: { readonly context: HubContext; readonly authenticator: Authenticator },
): Promise<HttpServer> {
  const { context } = deps;
  const servers: Server[] = [];
  const upgradeHeads = new WeakMap<IncomingMessage, Buffer>();
  const app = Fastify({
    exposeHeadRoutes: false,
    logger: false,
    trustProxy: options.trustedProxies.length === 0 ? false : [...options.trustedProxies],
    forceCloseConnections: false,
    return503OnClosing: false,
    routerOptions: {
      ignoreTrailingSlash: false,
      ignoreDuplicateSlashes: false,
      caseSensitive: true,
      // How long a name may be is for its schema to say.
      maxParamLength: 16_384,
    },
    serverFactory: (handler) => {
      const limits = {
        headersTimeout: HEADERS_TIMEOUT_MS,
        // Uploads of logs last as long as their reader; other bodies have a limit of their own.
        requestTimeout: 0,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
        connectionsCheckingInterval: 5000,
        // Some clients offer other protocols with any request, and want its answer all the same.
        shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === "websocket",
      };
      const server =
        options.tls === undefined
          ? createPlainServer(limits, handler)
          : createTlsServer(
              { ...limits, ...options.tls, ...askFor(options), ...protocolsOf(options), minVersion: "TLSv1.2" },
              handler,
            );
      if (options.router !== undefined) {
        const { serve } = options.router;
        splitHttp2(server, { serve, firstBytesMs: HEADERS_TIMEOUT_MS }, context);
      }
      server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        const response = new ServerResponse(request);
        // Of these servers it is never anything else.
        if (socket instanceof Socket) response.assignSocket(socket);
        // Nobody parses what else comes on it: who is answered as if nothing was asked of the connection is let go.
        response.once("finish", () => socket.end());
        socket.on("error", () => socket.destroy());
        upgradeHeads.set(request, head);
        app.routing(request, response);
      });
      servers.push(server);
      return server;
    },
  });
  // Bodies are read by `serveRoute`, after the caller is known.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null, undefined));

  const serveDeps = {
    context,
    authenticator: deps.authenticator,
    clientCertificates: options.clientCertificates,
    limiter: createRateLimiter({ clock: context.clock }),
    rates: options.rates,
    bodyTimeoutMs: options.bodyTimeoutMs,
    streams: createOpenStreams(context.life),
    upgradeHeads,
  };
  for (const route of routes) {
    app.route({ method: route.method, url: toPattern(route.path), handler: serveRoute(route, serveDeps) });
  }
  await registerPages(app, routes, options.pages);
  app.setNotFoundHandler((request, reply) => {
    for (const [name, value] of Object.entries(API_HEADERS)) void reply.header(name, value);
    const [path = ""] = (request.raw.url ?? "").split("?", 1);
    const thrown = new AppError(
      "not-found",
      `there is no ${request.method} ${path.slice(0, 200)}; /docs lists what there is`,
    );
    sendError(reply, request, { thrown, method: request.method, path }, serveDeps);
  });
  app.setErrorHandler((thrown, request, reply) => {
    const error = isBadRequest(thrown) ? new AppError("invalid", `request: ${messageOf(thrown)}`) : thrown;
    sendError(reply, request, { thrown: error, method: request.method, path: request.url }, serveDeps);
  });

  const port = await listen(app, options);
  const scheme = options.tls === undefined ? "http" : "https";
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    origin: `${scheme}://${host}:${port}`,
    port,
    close: async () => {
      const cut = context.clock.timer(options.drainMs, () => {
        for (const server of servers) server.closeAllConnections();
      });
      for (const server of servers) server.closeIdleConnections();
      await Promise.all([app.close(), options.router?.drain(options.drainMs)]);
      cut.clear();
    },
  };
}

/** A handshake that failed could not say why: the routes of boxes judge what was shown, in words. */
function askFor({ clientCertificates }: HttpServerOptions) {
  if (clientCertificates === undefined) return {};
  return { ca: clientCertificates.ca, requestCert: true, rejectUnauthorized: false };
}

function protocolsOf({ router }: HttpServerOptions) {
  return router === undefined ? {} : { ALPNProtocols: HTTP2_PROTOCOLS };
}

async function listen(app: FastifyInstance, { host, port }: HttpServerOptions): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (thrown) {
    const code = errnoOf(thrown) === "EADDRINUSE" ? "conflict" : "config";
    throw new AppError(code, `the hub cannot listen on ${host}:${port}: ${messageOf(thrown)}`, { cause: thrown });
  }
  const address = app.server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

function toPattern(path: string): string {
  return path.replace(/\{([A-Za-z]+)\}/g, ":$1");
}

/** What the framework itself refuses: an address that cannot be decoded, a header that breaks off. */
function isBadRequest(thrown: unknown): boolean {
  return (
    typeof thrown === "object" &&
    thrown !== null &&
    "statusCode" in thrown &&
    thrown.statusCode !== undefined &&
    Number(thrown.statusCode) < 500
  );
}
