import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fullJitterMs } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Random } from "./random.ts";
import { type Service, untilAborted } from "./service.ts";

export interface MetricsServerOptions {
  /** A loopback address. Absent: nothing listens. */
  readonly listen: { readonly host: string; readonly port: number } | undefined;
}

export interface MetricsServerDeps {
  /** The body, secrets taken out. */
  readonly render: () => Promise<string>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called each time the port is open. */
  readonly onListening?: (port: number) => void;
}

const RETRY = { baseMs: 1000, maxMs: 60_000 } as const;
const MAX_CONNECTIONS = 16;

/** `GET /metrics` for Prometheus. A port that is taken is said once for each reason and tried again: streams do not need it. */
export function createMetricsServer({ listen }: MetricsServerOptions, deps: MetricsServerDeps): Service {
  return {
    name: "metrics",
    run: async (signal) => {
      if (listen === undefined) return untilAborted(signal);
      let lastReason = "";
      for (let attempt = 0; !signal.aborted; attempt++) {
        try {
          await serve(listen, deps, signal);
        } catch (thrown) {
          const reason = messageOf(thrown);
          if (reason !== lastReason) deps.log.warn(`Metrics cannot be served (metrics.listen): ${reason}`);
          lastReason = reason;
          await deps.clock.delay(fullJitterMs(attempt, RETRY, deps.random), signal).catch(() => undefined);
        }
      }
    },
  };
}

async function serve(
  listen: NonNullable<MetricsServerOptions["listen"]>,
  deps: MetricsServerDeps,
  signal: AbortSignal,
): Promise<void> {
  const server = createServer(
    { headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 8192 },
    (request, response) => void handle(request, response, deps),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(listen);
  await once(server, "listening");
  try {
    server.on("error", (error) => deps.log.warn(`The metrics server had an error: ${messageOf(error)}`));
    deps.onListening?.((server.address() as AddressInfo).port);
    await untilAborted(signal);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** Never rejects. */
async function handle(request: IncomingMessage, response: ServerResponse, deps: MetricsServerDeps): Promise<void> {
  response.on("error", () => undefined);
  response.setHeader("connection", "close");
  try {
    if (request.method !== "GET" || request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end("GET /metrics\n");
      return;
    }
    const body = await deps.render();
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(body);
  } catch (thrown) {
    deps.log.error(`Metrics could not be told: ${messageOf(thrown)}`);
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end();
  }
}
