import { AppError } from "../../base/errors.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import {
  ROUTER_BEAT_SECONDS,
  routerBeatAnswerSchema,
  routerBeatSchema,
  routerPathSchema,
  routerViewSchema,
  ticketKeysSchema,
} from "../../contract/fleet/router.ts";
import { writeOf } from "../fleet/write-of.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { notFound } from "../store/store-error.ts";
import type { RecentEnds } from "./recent-ends.ts";
import type { RemoteWhy } from "./remote-why.ts";
import type { RouterBook } from "./router-book.ts";
import type { RouterNews } from "./router-news.ts";
import type { TicketKeys } from "./ticket-keys.ts";

export interface RouterRoutesDeps {
  readonly keys: TicketKeys;
  readonly routers: RouterBook;
  readonly news: RouterNews;
  readonly ends: RecentEnds;
  readonly why: Pick<RemoteWhy, "heard">;
}

const MAX_BEAT_BYTES = 2 * 1024 * 1024;

/** What routers of their own and their hub tell each other. */
export function createRouterRoutes(
  { clock }: Pick<HubContext, "clock">,
  { keys, routers, news, ends, why }: RouterRoutesDeps,
): readonly Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/routers",
      access: "router",
      summary: "A router says that it is there, and what has become of its sessions; every few seconds",
      body: routerBeatSchema,
      maxBodyBytes: MAX_BEAT_BYTES,
      answer: routerBeatAnswerSchema,
      handle: async ({ body, caller }) => {
        if (caller.kind !== "operator") throw new AppError("refused", "this is for the tokens of routers");
        const { changes, sessions, ...router } = body;
        const by = { tokenId: caller.tokenId, isAdmin: caller.role === "admin" };
        await routers.heard({ ...router, sessions: sessions.length }, by);
        why.heard(body.id, sessions);
        await news.take(body.id, { changes, sessions });
        return {
          beatSeconds: ROUTER_BEAT_SECONDS,
          keys: [...(await keys.list())],
          ended: [...ends.of(body.id)],
          peers: routers.peersOf(body.id),
        };
      },
    }),
    route({
      method: "GET",
      path: "/v1/routers",
      access: "viewer",
      summary: "Routers of remote sessions, those of hubs included",
      query: pageQuerySchema,
      answer: pageSchema(routerViewSchema),
      handle: async ({ query }) => {
        const sorted = [...routers.list()].sort((one, other) => (one.id < other.id ? -1 : 1));
        const from = query.after === undefined ? 0 : sorted.findIndex(({ id }) => id > (query.after ?? ""));
        const items = from < 0 ? [] : sorted.slice(from, from + query.limit);
        const last = items.at(-1);
        return { items, ...(last !== undefined && last !== sorted.at(-1) ? { next: last.id } : {}) };
      },
    }),
    route({
      method: "GET",
      path: "/v1/routers/keys",
      access: "public",
      summary: "Public keys of the tickets of remote sessions, as a JWK Set",
      answer: ticketKeysSchema,
      handle: async () => ({ keys: [...(await keys.list())] }),
    }),
    route({
      method: "DELETE",
      path: "/v1/routers/{id}",
      access: "admin",
      summary: "Forget a router; one that is still there registers again",
      params: routerPathSchema,
      handle: async (call) => {
        const { id } = call.params;
        if (!(await routers.forget(id, writeOf(call, clock, { action: "router.forget", subject: `router/${id}` })))) {
          throw notFound("router", id);
        }
        return undefined;
      },
    }),
  ];
}
