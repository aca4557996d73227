import { once } from "node:events";
import { createServer } from "node:http";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Service } from "../../base/service.ts";
import { untilAborted } from "../../base/service.ts";
import type { HubMetrics } from "./hub-metrics.ts";

/** The same figures on a port of their own, without a token: for a collector in the hub's own network. Serves nothing else. */
export function createMetricsServer(
  options: { readonly host: string; readonly port: number },
  metrics: HubMetrics,
): Service {
  return {
    name: "metrics",
    run: async (signal) => {
      const server = createServer({ headersTimeout: 5000, requestTimeout: 5000 }, (request, response) => {
        if (request.method !== "GET" || request.url !== "/metrics") {
          response.writeHead(404).end();
          return;
        }
        metrics.text().then(
          (text) => response.writeHead(200, { "content-type": metrics.contentType }).end(text),
          () => response.writeHead(500).end(),
        );
      });
      server.listen(options.port, options.host);
      try {
        await once(server, "listening");
      } catch (thrown) {
        const where = `${options.host}:${options.port}`;
        throw new AppError("config", `the metrics cannot be served on ${where}: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
      await untilAborted(signal);
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
