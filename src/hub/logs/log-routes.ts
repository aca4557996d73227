import { z } from "zod";
import { boxPathSchema } from "../../contract/fleet/box-view.ts";
import { logQuerySchema } from "../../contract/fleet/log-line.ts";
import { createEventSink } from "../events/event-sink.ts";
import { type Route, route } from "../http/route.ts";
import type { LogStreams } from "./log-streams.ts";

/** Far above what is let in before the box is made to wait. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

export function createLogRoutes(streams: LogStreams): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/boxes/{box}/logs",
      access: "viewer",
      summary: "The log of a box's agent or of one workload, as server-sent events `line`, `gap` and `end`",
      params: boxPathSchema,
      query: logQuerySchema,
      stream: async ({ params, query, signal }, { response }) => {
        const sink = createEventSink(response, { maxWaitingBytes: MAX_WAITING_BYTES });
        const { workload, since, tail, follow, output } = query;
        const wish = {
          tail,
          follow,
          ...(workload === undefined ? {} : { workload }),
          ...(since === undefined ? {} : { since }),
          ...(output === undefined ? {} : { output }),
        };
        // The status tells whether the box can be asked; what comes after it is in the stream.
        const stream = await streams.open(params.box, wish, sink);
        await new Promise<void>((resolve) => {
          const leave = () => {
            streams.leave(stream);
            resolve();
          };
          response.once("close", leave);
          response.on("error", () => response.destroy());
          signal.addEventListener("abort", () => sink.close("cut"), { once: true });
          if (response.destroyed) leave();
        });
      },
    }),
    route({
      method: "POST",
      path: "/v1/boxes/{box}/log-streams/{stream}",
      access: "box",
      summary: "Lines of a log that somebody reads, as NDJSON, for as long as the body lasts",
      params: boxPathSchema.extend({ stream: z.string().min(1).max(128) }),
      stream: async ({ params, signal }, { request, response }) => {
        signal.addEventListener("abort", () => request.destroy(), { once: true });
        // What is left of a body that nobody reads any more is not waited for.
        response.once("finish", () => {
          if (!request.complete) request.destroy();
        });
        await streams.upload({ boxId: params.box, stream: params.stream, request });
        if (!response.headersSent) response.writeHead(204).end();
      },
    }),
  ];
}
