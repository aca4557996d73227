import type { FastifyInstance } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import type { Parts } from "../parts.ts";

/** `GET /publishers` lists what the RTMP server receives; `GET /live/:app/:key.flv` plays it; `DELETE` cuts the publisher. */
export function registerMediaRoute(app: FastifyInstance, parts: Parts): void {
  app.get("/publishers", () => ({ url: parts.rtmp?.url, publishers: parts.rtmp?.publishers() ?? [] }));

  app.get<{ Params: { app: string; file: string } }>("/live/:app/:file", (request, reply) => {
    const key = streamKey(request.params);
    if (!isPublished(key)) throw new AppError("not-found", `key: nobody publishes under "${key}"`, { field: "key" });
    reply.hijack();
    parts.rtmp?.play(key, reply.raw);
  });

  app.delete<{ Params: { app: string; file: string } }>("/publishers/:app/:file", (request) => {
    const key = `${request.params.app}/${request.params.file}`;
    if (parts.rtmp?.cut(key) !== true) {
      throw new AppError("not-found", `key: nobody publishes under "${key}"`, { field: "key" });
    }
    parts.log.write("rtmp", `The publisher of ${key} was cut`);
    return { cut: key };
  });

  const isPublished = (key: string) =>
    parts.rtmp?.publishers().some((publisher) => `${publisher.app}/${publisher.key}` === key && publisher.publishing) ??
    false;
}

function streamKey(params: { readonly app: string; readonly file: string }): string {
  if (!params.file.endsWith(".flv")) {
    throw new AppError("not-found", `path: ${params.file} given, <key>.flv allowed`, { field: "path" });
  }
  return `${params.app}/${params.file.slice(0, -".flv".length)}`;
}
