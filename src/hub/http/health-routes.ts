import { z } from "zod";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HubContext } from "../hub-context.ts";
import { type Route, route } from "./route.ts";

/** For balancers and service managers. `healthz`: the process answers; `readyz`: it can do its work. */
export function createHealthRoutes({ store, life, version, hubId }: HubContext): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/healthz",
      access: "public",
      summary: "Whether this hub's process answers",
      answer: z.object({ ok: z.literal(true), version: z.string(), hub: z.string() }),
      handle: async () => ({ ok: true as const, version, hub: hubId }),
    }),
    route({
      method: "GET",
      path: "/readyz",
      access: "public",
      summary: "Whether this hub can do its work: its store answers, and it is not ending",
      answer: z.object({ ok: z.literal(true) }),
      handle: async () => {
        if (life.aborted) throw new AppError("unavailable", "this hub is ending");
        try {
          await store.ping();
        } catch (thrown) {
          throw new AppError("store-unavailable", `the store does not answer: ${messageOf(thrown)}`, { cause: thrown });
        }
        return { ok: true as const };
      },
    }),
  ];
}
