import fastifyStatic from "@fastify/static";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance, FastifyPluginAsync } from "fastify";
import { openApiOf } from "./open-api.ts";
import type { PageDirectory } from "./page-directories.ts";
import type { Route } from "./route.ts";
import { API_PAGE_HEADERS, PAGE_HEADERS, TERMINAL_FRAME, TERMINAL_FRAME_HEADERS } from "./security-headers.ts";

export interface PageOptions {
  readonly directories: readonly PageDirectory[];
  readonly version: string;
}

const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';

/** The dashboard's files, and the API page at `/docs` with all that it needs: neither asks any other host for anything. */
export async function registerPages(app: FastifyInstance, routes: readonly Route[], options: PageOptions) {
  let described: ReturnType<typeof openApiOf> | undefined;
  // For all routes of a hub it takes a sixth of its start, and few hubs are ever asked.
  const describe = () => {
    described ??= openApiOf(routes, { title: "Sluice hub", version: options.version });
    return described;
  };
  const files: FastifyPluginAsync = async (pages) => {
    sendAlways(pages, (path) => (path === TERMINAL_FRAME ? TERMINAL_FRAME_HEADERS : PAGE_HEADERS));
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
  };
  const apiPage: FastifyPluginAsync = async (pages) => {
    sendAlways(pages, () => API_PAGE_HEADERS);
    // Nobody is sent this: the page wants a document before anybody asks for it.
    await pages.register(swagger, {
      mode: "static",
      specification: { document: { openapi: "3.1.0", info: { title: "", version: "" }, paths: {} } },
    });
    await pages.register(swaggerUi, {
      routePrefix: "/docs",
      uiConfig: { docExpansion: "list", deepLinking: true },
      logo: { type: "image/svg+xml", content: LOGO },
      transformSpecification: describe,
      transformSpecificationClone: false,
    });
  };
  await app.register(files);
  await app.register(apiPage);
}

function sendAlways(pages: FastifyInstance, headersOf: (path: string) => Readonly<Record<string, string>>): void {
  pages.addHook("onSend", async ({ url }, reply) => {
    for (const [name, value] of Object.entries(headersOf(url.split("?", 1)[0] ?? ""))) void reply.header(name, value);
  });
}
