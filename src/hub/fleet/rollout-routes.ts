import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { changePreviewSchema, dryRunQuerySchema } from "../../contract/fleet/change-preview.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import { rolloutPathSchema, rolloutPutSchema, rolloutViewSchema } from "../../contract/fleet/rollout.ts";
import { maskWorkload, unmaskWorkload } from "../../contract/mask-workload.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { StoredObject } from "../store/objects.ts";
import { notFound } from "../store/store-error.ts";
import { requireKnownPlaceholders } from "./fill-template.ts";
import { previewOf } from "./preview-of.ts";
import { ROLLOUT_KIND, ROLLOUT_STATUS_KIND, rolloutStatusSchema } from "./rollout-objects.ts";
import { isoOf, writeOf } from "./write-of.ts";

/** One workload on every box whose labels match. */
export function createRolloutRoutes({ store, clock }: HubContext): readonly Route[] {
  const view = async ({ id, revision, body, createdMs, updatedMs }: StoredObject) => {
    const { selector, template, enabled } = rolloutPutSchema.parse(body);
    const status = rolloutStatusSchema.safeParse((await store.objects.get(ROLLOUT_STATUS_KIND, id))?.body);
    const boxes = status.success ? status.data : { matching: 0, placed: 0, failed: [] };
    return {
      id,
      revision,
      selector,
      template: maskWorkload(template),
      enabled,
      boxes,
      createdAt: isoOf(createdMs),
      updatedAt: isoOf(updatedMs),
    };
  };

  return [
    route({
      method: "GET",
      path: "/v1/rollouts",
      access: "viewer",
      summary: "Rollouts, with how many boxes they match and have reached",
      query: pageQuerySchema,
      answer: pageSchema(rolloutViewSchema),
      handle: async ({ query }) => {
        const { items, next } = await store.objects.list(ROLLOUT_KIND, query);
        return { items: await Promise.all(items.map(view)), ...(next === undefined ? {} : { next }) };
      },
    }),
    route({
      method: "GET",
      path: "/v1/rollouts/{id}",
      access: "viewer",
      summary: "One rollout",
      params: rolloutPathSchema,
      answer: rolloutViewSchema,
      handle: async ({ params }) => {
        const object = await store.objects.get(ROLLOUT_KIND, params.id);
        if (object === undefined) throw notFound("rollout", params.id);
        return view(object);
      },
    }),
    route({
      method: "PUT",
      path: "/v1/rollouts/{id}",
      access: "operator",
      summary: "Have every box whose labels match run this workload, with the box's facts filled in",
      conditional: "optional",
      params: rolloutPathSchema,
      query: dryRunQuerySchema,
      body: rolloutPutSchema,
      answer: z.union([rolloutViewSchema, changePreviewSchema]),
      handle: async (call) => {
        const { id } = call.params;
        requireKnownPlaceholders(call.body.template);
        const held = await store.objects.get(ROLLOUT_KIND, id);
        const before = held === undefined ? undefined : rolloutPutSchema.parse(held.body).template;
        const { workload: template, unknown } = unmaskWorkload(call.body.template, before);
        if (unknown[0] !== undefined) {
          throw new AppError(
            "invalid",
            `template.${unknown[0]}: given a masked value (***) that hides nothing the hub holds; give it whole`,
            { field: `template.${unknown[0]}` },
          );
        }
        const body = { ...call.body, template };
        if (call.query.dryRun === true) return previewOf(held, body);
        const event = { kind: "rollout.changed", text: `Rollout ${id} was changed` };
        const context = writeOf(call, clock, { action: "rollout.put", subject: `rollout/${id}`, event });
        const { expectedRevision } = call;
        return view(await store.objects.put({ kind: ROLLOUT_KIND, id, body }, { ...context, expectedRevision }));
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/rollouts/{id}",
      access: "operator",
      summary: "End a rollout; what it placed is taken away",
      conditional: "optional",
      params: rolloutPathSchema,
      handle: async (call) => {
        const { id } = call.params;
        const event = { kind: "rollout.removed", text: `Rollout ${id} was removed` };
        const context = writeOf(call, clock, { action: "rollout.remove", subject: `rollout/${id}`, event });
        const { expectedRevision } = call;
        if (!(await store.objects.delete(ROLLOUT_KIND, id, { ...context, expectedRevision }))) {
          throw notFound("rollout", id);
        }
        await store.objects.delete(ROLLOUT_STATUS_KIND, id, { nowMs: clock.wallMs() });
        return undefined;
      },
    }),
  ];
}
