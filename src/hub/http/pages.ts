import fastifyStatic from "@fastify/static";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { openApiOf } from "./open-api.ts";
import type { Route } from "./route.ts";
import { PAGE_HEADERS } from "./security-headers.ts";

export interface PageOptions {
  /** Files that anybody may read, below `prefix` of the address. */
  readonly directories: readonly { readonly prefix: string; readonly directory: string }[];
  readonly version: string;
}

const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';

/** The dashboard's files, and the API page at `/docs` with all that it needs: neither asks any other host for anything. */
export async function registerPages(app: FastifyInstance, routes: readonly Route[], options: PageOptions) {
  const document = openApiOf(routes, { title: "Sluice hub", version: options.version });
  await app.register(async (pages) => {
    pages.addHook("onSend", async (_request, reply) => {
      for (const [name, value] of Object.entries(PAGE_HEADERS)) void reply.header(name, value);
    });
    for (const [index, { prefix, directory }] of options.directories.entries()) {
      await pages.register(fastifyStatic, {
        root: directory,
        prefix,
        decorateReply: index === 0,
        dotfiles: "deny",
        index: ["index.html"],
        cacheControl: false,
      });
    }
    await pages.register(swagger, {
      mode: "static",
      // Their type knows the form of our document by its own names; it is read as it is.
      specification: { document: document as never },
    });
    await pages.register(swaggerUi, {
      routePrefix: "/docs",
      uiConfig: { docExpansion: "none", deepLinking: true },
      logo: { type: "image/svg+xml", content: LOGO },
    });
  });
}
