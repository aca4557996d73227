import { auditQuerySchema, auditViewSchema } from "../../contract/fleet/audit-view.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { isoOf } from "./write-of.ts";

export function createAuditRoute({ store }: HubContext): Route {
  return route({
    method: "GET",
    path: "/v1/audit",
    access: "admin",
    summary: "Who did what to what, newest first",
    query: auditQuerySchema,
    answer: pageSchema(auditViewSchema),
    handle: async ({ query }) => {
      const { actor, action, subject, from, to } = query;
      const filter = { actor, action, subject, fromMs: msOf(from), toMs: msOf(to) };
      const { items, next } = await store.audit.list(filter, query);
      return {
        items: items.map(({ atMs, address, detail, ...entry }) => ({
          ...entry,
          at: isoOf(atMs),
          ...(address === undefined ? {} : { address }),
          ...(detail === undefined ? {} : { detail }),
        })),
        ...(next === undefined ? {} : { next }),
      };
    },
  });
}

function msOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}
