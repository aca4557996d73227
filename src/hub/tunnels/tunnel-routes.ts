import { z } from "zod";
import { changePreviewSchema, dryRunQuerySchema } from "../../contract/fleet/change-preview.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import {
  tunnelCreateSchema,
  tunnelListQuerySchema,
  tunnelPathSchema,
  tunnelViewSchema,
} from "../../contract/fleet/tunnel.ts";
import { choosePage } from "../fleet/fleet-pages.ts";
import { previewOf } from "../fleet/preview-of.ts";
import { actorOf, writeOf } from "../fleet/write-of.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import { newUid, type TunnelMaker } from "./tunnel-maker.ts";
import { TUNNEL_KIND, type Tunnel, toTunnel } from "./tunnel-record.ts";
import { readTunnelView } from "./tunnel-view.ts";

/** Tunnels between two boxes, each declared as one thing. */
export function createTunnelRoutes(
  { store, clock, newSecret }: HubContext,
  { maker }: { readonly maker: TunnelMaker },
): readonly Route[] {
  const writing = (call: Call, uid: string, what: { action: string; kind: string; text: string }) => ({
    ...writeOf(call, clock, {
      action: what.action,
      subject: `tunnel/${uid}`,
      event: { kind: what.kind, text: what.text, data: { uid } },
    }),
    expectedRevision: call.expectedRevision,
  });
  const view = (tunnel: Tunnel) => readTunnelView(tunnel, store);

  return [
    route({
      method: "GET",
      path: "/v1/tunnels",
      access: "viewer",
      summary: "Tunnels, with their phase and what their ends tell",
      query: tunnelListQuerySchema,
      answer: pageSchema(tunnelViewSchema),
      handle: ({ query }) =>
        choosePage(query, {
          list: (after, limit) => store.objects.list(TUNNEL_KIND, { after, limit }),
          choose: async (object) => {
            const tunnel = toTunnel(object);
            if (tunnel === undefined) return undefined;
            const { producer, consumer } = tunnel.wish;
            if (query.box !== undefined && query.box !== producer && query.box !== consumer) return undefined;
            const shown = await view(tunnel);
            return query.phase === undefined || shown.phase === query.phase ? shown : undefined;
          },
          cursorOf: ({ id }) => id,
        }),
    }),
    route({
      method: "GET",
      path: "/v1/tunnels/{uid}",
      access: "viewer",
      summary: "One tunnel, with the evidence that it is what it says",
      params: tunnelPathSchema,
      answer: tunnelViewSchema,
      handle: async ({ params }) => view(await maker.get(params.uid)),
    }),
    route({
      method: "POST",
      path: "/v1/tunnels",
      access: "operator",
      summary: "Join two boxes by a tunnel; it goes up by itself",
      body: tunnelCreateSchema,
      answer: tunnelViewSchema,
      status: 201,
      handle: async (call) => {
        const uid = newUid(call.request === undefined ? newSecret() : `${actorOf(call.caller)}\n${call.request.id}`);
        const { producer, consumer } = call.body;
        const text = `Tunnel ${uid} from ${producer} to ${consumer} was asked for`;
        const context = writing(call, uid, { action: "tunnel.create", kind: "tunnel.requested", text });
        return view(await maker.put(uid, call.body, { ...context, expectedRevision: 0 }));
      },
    }),
    route({
      method: "PUT",
      path: "/v1/tunnels/{uid}",
      access: "operator",
      summary: "Have a tunnel of this uid, in this form",
      conditional: "optional",
      params: tunnelPathSchema,
      query: dryRunQuerySchema,
      body: tunnelCreateSchema,
      answer: z.union([tunnelViewSchema, changePreviewSchema]),
      handle: async (call) => {
        const { uid } = call.params;
        if (call.query.dryRun === true) {
          const held = await store.objects.get(TUNNEL_KIND, uid);
          const tunnel = held === undefined ? undefined : toTunnel(held);
          const before = held === undefined || tunnel === undefined ? undefined : { ...held, body: tunnel.wish };
          return previewOf(before, call.body);
        }
        const text = `Tunnel ${uid} was given the form that was asked for`;
        const context = writing(call, uid, { action: "tunnel.put", kind: "tunnel.requested", text });
        return view(await maker.put(uid, call.body, context));
      },
    }),
    route({
      method: "POST",
      path: "/v1/tunnels/{uid}/rotate",
      access: "operator",
      summary: "Give both ends new keys; connections go on",
      conditional: "optional",
      params: tunnelPathSchema,
      answer: tunnelViewSchema,
      handle: async (call) => {
        const { uid } = call.params;
        const text = `The keys of tunnel ${uid} are to be changed`;
        const context = writing(call, uid, { action: "tunnel.rotate", kind: "tunnel.rotating", text });
        return view(await maker.rotate(await maker.get(uid), context));
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/tunnels/{uid}",
      access: "operator",
      summary: "Take a tunnel down; it is shown as ending until both boxes have let go",
      conditional: "optional",
      params: tunnelPathSchema,
      answer: tunnelViewSchema,
      status: 202,
      handle: async (call) => {
        const { uid } = call.params;
        const text = `Tunnel ${uid} is to be taken down`;
        const context = writing(call, uid, { action: "tunnel.remove", kind: "tunnel.ending", text });
        return view(await maker.end(await maker.get(uid), "it was taken down", context));
      },
    }),
  ];
}
