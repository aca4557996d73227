import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";

const PAGES = resolve(import.meta.dirname, "../../public");

/** Nothing from elsewhere, nothing inline; the player feeds its video from a blob. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The page at `/`, what it shares with the hub's dashboard at `/shared`, and the player at `/vendor/mpegts.js`. */
export async function registerPageRoute(app: FastifyInstance): Promise<void> {
  app.addHook("onSend", async (_request, reply) => {
    reply.header("content-security-policy", CONTENT_SECURITY_POLICY);
    reply.header("x-content-type-options", "nosniff");
    reply.header("referrer-policy", "no-referrer");
  });
  const player = createRequire(import.meta.url).resolve("mpegts.js/dist/mpegts.js");
  await app.register(fastifyStatic, { root: join(PAGES, "test-page"), cacheControl: false });
  await app.register(fastifyStatic, {
    root: join(PAGES, "shared"),
    prefix: "/shared/",
    decorateReply: false,
    cacheControl: false,
  });
  app.get("/vendor/mpegts.js", (_request, reply) => reply.sendFile("mpegts.js", dirname(player)));
}
