import { AppError } from "../../base/errors.ts";
import {
  boxHistoryViewSchema,
  boxListQuerySchema,
  boxPatchSchema,
  boxPathSchema,
  boxViewSchema,
} from "../../contract/fleet/box-view.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import { type LabelRequirement, parseSelector } from "../../contract/fleet/selector.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { Box, BoxPatch } from "../store/box.ts";
import { notFound } from "../store/store-error.ts";
import type { BoxReader } from "./box-reader.ts";
import { choosePage } from "./fleet-pages.ts";
import { isoOf, writeOf } from "./write-of.ts";

/** Boxes: what they are and what may be done with them. Their workloads have routes of their own. */
export function createBoxRoutes(
  { store, clock }: HubContext,
  { reader, forgetBox }: { readonly reader: BoxReader; readonly forgetBox?: (boxId: string) => void },
): readonly Route[] {
  const find = async (id: string): Promise<Box> => {
    const box = await store.boxes.get(id);
    if (box === undefined) throw notFound("box", id);
    return box;
  };

  const change = async (call: Call, boxId: string, what: { action: string; patch: BoxPatch; text: string }) => {
    const { action, patch, text } = what;
    const event = { kind: "box.changed", boxId, text: `Box ${boxId} ${text}` };
    const context = writeOf(call, clock, { action, subject: `box/${boxId}`, event });
    const box = await store.boxes.update(boxId, patch, { ...context, expectedRevision: call.expectedRevision });
    return (await reader.read(box)).view;
  };

  const decision = (verb: string, summary: string, patch: BoxPatch, text: string): Route =>
    route({
      method: "POST",
      path: `/v1/boxes/{box}/${verb}`,
      access: "admin",
      summary,
      conditional: "optional",
      params: boxPathSchema,
      answer: boxViewSchema,
      handle: (call) => change(call, call.params.box, { action: `box.${verb}`, patch, text }),
    });

  return [
    route({
      method: "GET",
      path: "/v1/boxes",
      access: "viewer",
      summary: "Boxes, with what they run and how they are",
      query: boxListQuerySchema,
      answer: pageSchema(boxViewSchema),
      handle: ({ query }) => {
        const { labels, state, draining, text, connection } = query;
        const filter = { labels: requirementsOf(labels), state, draining, text };
        return choosePage(query, {
          list: (after, limit) => store.boxes.list(filter, { after, limit }),
          choose: async (box) => {
            const { view } = await reader.read(box);
            return connection === undefined || view.connection === connection ? view : undefined;
          },
          cursorOf: ({ id }) => id,
        });
      },
    }),
    route({
      method: "GET",
      path: "/v1/boxes/{box}",
      access: "viewer",
      summary: "One box",
      params: boxPathSchema,
      answer: boxViewSchema,
      handle: async ({ params }) => (await reader.read(await find(params.box))).view,
    }),
    route({
      method: "PATCH",
      path: "/v1/boxes/{box}",
      access: "operator",
      summary: "Change the name, the labels or whether new work is placed on it",
      conditional: "optional",
      params: boxPathSchema,
      body: boxPatchSchema,
      answer: boxViewSchema,
      handle: (call) => {
        const fields = Object.keys(call.body).join(", ");
        if (fields === "")
          throw new AppError("invalid", "body: given nothing to change; allowed: name, labels, draining");
        return change(call, call.params.box, {
          action: "box.patch",
          patch: call.body,
          text: `was given another ${fields}`,
        });
      },
    }),
    decision("approve", "Let a box that waits (or was revoked) do its work", { state: "approved" }, "was approved"),
    decision("revoke", "Take a box's keys away; it is cut off within seconds", { state: "revoked" }, "was revoked"),
    decision("release", "End the quarantine of a box", { quarantine: null }, "was released from quarantine"),
    route({
      method: "DELETE",
      path: "/v1/boxes/{box}",
      access: "admin",
      summary: "Forget a box with everything that is known of it",
      params: boxPathSchema,
      handle: async (call) => {
        const { box } = call.params;
        const event = { kind: "box.forgotten", boxId: box, text: `Box ${box} was forgotten` };
        const context = writeOf(call, clock, { action: "box.forget", subject: `box/${box}`, event });
        if (!(await store.boxes.forget(box, context))) throw notFound("box", box);
        forgetBox?.(box);
        return undefined;
      },
    }),
    route({
      method: "GET",
      path: "/v1/boxes/{box}/history",
      access: "viewer",
      summary: "Incidents, gaps in media and starts of the agent, newest first",
      params: boxPathSchema,
      answer: boxHistoryViewSchema,
      handle: async ({ params }) => {
        await find(params.box);
        const [{ incidents, gaps }, report] = await Promise.all([
          store.history.get(params.box),
          store.reports.get(params.box),
        ]);
        return {
          incidents: incidents.map(({ kind, cause, ...span }) => ({ kind, cause, ...spanOf(span) })),
          gaps: gaps.map(({ workloadId, cause, ...span }) => ({ workload: workloadId, cause, ...spanOf(span) })),
          starts: (report?.starts ?? []).map(({ atMs, verdict, bootId, agentVersion }) => ({
            at: isoOf(atMs),
            verdict,
            bootId,
            agentVersion,
          })),
        };
      },
    }),
  ];
}

function spanOf({ startMs, endMs }: { readonly startMs: number; readonly endMs?: number | undefined }) {
  return { start: isoOf(startMs), ...(endMs === undefined ? {} : { end: isoOf(endMs) }) };
}

/** Of a text that its schema has accepted. */
export function requirementsOf(selector: string | undefined): readonly LabelRequirement[] {
  const parsed = parseSelector(selector ?? "");
  if (!parsed.ok) throw new AppError("invalid", `selector: ${parsed.problem}`, { field: "selector" });
  return parsed.requirements;
}
