import { type Route, route } from "../http/route.ts";
import type { HubMetrics } from "./hub-metrics.ts";

export function createMetricsRoute(metrics: HubMetrics): Route {
  return route({
    method: "GET",
    path: "/metrics",
    access: "viewer",
    summary: "Figures of this hub for Prometheus",
    stream: async (_call, { response }) => {
      const text = await metrics.text();
      response.writeHead(200, { "content-type": metrics.contentType }).end(text);
    },
  });
}
