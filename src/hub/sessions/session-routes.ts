import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { changePreviewSchema, dryRunQuerySchema } from "../../contract/fleet/change-preview.ts";
import { pageSchema } from "../../contract/fleet/page.ts";
import {
  placementSchema,
  type SessionWish,
  sessionCreateQuerySchema,
  sessionListQuerySchema,
  sessionPathSchema,
  sessionStopQuerySchema,
  sessionViewSchema,
  sessionWishSchema,
} from "../../contract/fleet/session.ts";
import type { SessionCommandName } from "../../contract/session-command.ts";
import type { SessionPower } from "../../contract/session-spec.ts";
import { choosePage } from "../fleet/fleet-pages.ts";
import { previewOf } from "../fleet/preview-of.ts";
import { isoOf, writeOf } from "../fleet/write-of.ts";
import { type Call, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { BoxOffers } from "./box-offers.ts";
import { chooseBox } from "./choose-box.ts";
import { decideHibernate, decideWake, type PowerSight, requireTouchable } from "./decide-power.ts";
import type { SessionMaker } from "./session-maker.ts";
import { SESSION_KIND, type Session, toSession } from "./session-record.ts";
import { readSessionView, unmaskWish } from "./session-view.ts";

/** An activity call is of use for so long. */
const TOUCH_DEADLINE_MS = 60_000;
/** Of a session that was used so shortly before, the box need not hear again. */
const TOUCH_PAUSE_MS = 5000;

/** Applications on boxes, each declared as one thing. */
export function createSessionRoutes(
  { store, clock, newSecret }: HubContext,
  { maker, offers }: { readonly maker: SessionMaker; readonly offers: BoxOffers },
): readonly Route[] {
  const writing = (call: Call, id: string, what: { action: string; kind: string; text: string }) => ({
    ...writeOf(call, clock, {
      action: what.action,
      subject: `session/${id}`,
      event: { kind: what.kind, workloadId: id, text: what.text, data: { id } },
    }),
    expectedRevision: call.expectedRevision,
  });
  const view = (session: Session) => readSessionView(session, store);

  /** With the secrets that its sender saw masked. */
  const revealed = (wish: SessionWish, held: SessionWish | undefined): SessionWish => {
    const { wish: meant, unknown } = unmaskWish(wish, held);
    if (unknown === undefined) return meant;
    throw new AppError(
      "invalid",
      `${unknown}: given a masked value (***) that hides nothing the hub holds; give it whole`,
      { field: unknown },
    );
  };

  const powerRoute = (
    verb: "hibernate" | "wake",
    summary: string,
    decide: (sight: PowerSight) => SessionPower,
  ): Route =>
    route({
      method: "POST",
      path: `/v1/sessions/{id}/${verb}`,
      access: "operator",
      summary,
      conditional: "optional",
      params: sessionPathSchema,
      answer: sessionViewSchema,
      handle: async (call) => {
        const { id } = call.params;
        const session = await maker.get(id);
        const power = decide(await view(session));
        const text = `Session ${id} is to ${verb}`;
        const context = writing(call, id, { action: `session.${verb}`, kind: `session.${verb}`, text });
        return view(await maker.setPower(session, power, context));
      },
    });

  const touchedAtMs = new Map<string, number>();
  const touch = async (session: Session, boxId: string, request: Call["request"]): Promise<void> => {
    const nowMs = clock.monotonicMs();
    for (const [id, atMs] of touchedAtMs) if (nowMs - atMs >= TOUCH_PAUSE_MS) touchedAtMs.delete(id);
    if (touchedAtMs.has(session.id)) return;
    const command = {
      id: `c-${newSecret().slice(0, 16)}`,
      name: "TouchSession" satisfies SessionCommandName,
      args: { id: session.id },
      deadlineMs: clock.wallMs() + TOUCH_DEADLINE_MS,
    };
    await store.commands.create(boxId, command, { nowMs: clock.wallMs(), request });
    touchedAtMs.set(session.id, nowMs);
  };

  return [
    route({
      method: "GET",
      path: "/v1/sessions",
      access: "viewer",
      summary: "Sessions, with their state and what their boxes tell",
      query: sessionListQuerySchema,
      answer: pageSchema(sessionViewSchema),
      handle: ({ query }) =>
        choosePage(query, {
          list: (after, limit) => store.objects.list(SESSION_KIND, { after, limit }),
          choose: async (object) => {
            const session = toSession(object);
            if (session === undefined) return undefined;
            if (query.user !== undefined && session.wish.user !== query.user) return undefined;
            const shown = await view(session);
            const platform = shown.session?.platform ?? shown.wish.platform;
            const isWanted =
              (query.box === undefined || shown.box === query.box) &&
              (query.state === undefined || shown.state === query.state) &&
              (query.platform === undefined || platform === query.platform);
            return isWanted ? shown : undefined;
          },
          cursorOf: ({ id }) => id,
        }),
    }),
    route({
      method: "GET",
      path: "/v1/sessions/{id}",
      access: "viewer",
      summary: "One session, with where it is and why, and how it can be reached",
      params: sessionPathSchema,
      answer: sessionViewSchema,
      handle: async ({ params }) => view(await maker.get(params.id)),
    }),
    route({
      method: "POST",
      path: "/v1/sessions",
      access: "operator",
      summary: "Start a session, on a box that is named or chosen",
      query: sessionCreateQuerySchema,
      body: sessionWishSchema,
      answer: z.union([sessionViewSchema, placementSchema]),
      status: 201,
      handle: async (call) => {
        const wish = revealed(call.body, undefined);
        if (call.query.dryRun === true) {
          const { passedOver, ...choice } = chooseBox(wish, await offers.list(), { avoid: new Map() });
          return { ...choice, passedOver: [...passedOver], at: isoOf(clock.wallMs()) };
        }
        const { id, user } = wish;
        const text = `Session ${id} of ${user} was asked for`;
        const context = writing(call, id, { action: "session.create", kind: "session.requested", text });
        return view(await maker.put(wish, { ...context, expectedRevision: 0 }));
      },
    }),
    route({
      method: "PUT",
      path: "/v1/sessions/{id}",
      access: "operator",
      summary: "Have a session of this id, in this form",
      conditional: "optional",
      params: sessionPathSchema,
      query: dryRunQuerySchema,
      body: sessionWishSchema,
      answer: z.union([sessionViewSchema, changePreviewSchema]),
      handle: async (call) => {
        const { id } = call.params;
        if (call.body.id !== id) {
          throw new AppError("invalid", `id: given ${call.body.id}; allowed: ${id}, as in the address`, {
            field: "id",
          });
        }
        const held = await store.objects.get(SESSION_KIND, id);
        const before = held === undefined ? undefined : toSession(held);
        const wish = revealed(call.body, before?.wish);
        if (call.query.dryRun === true) {
          return previewOf(
            held === undefined || before === undefined ? undefined : { ...held, body: before.wish },
            wish,
          );
        }
        const text = `Session ${id} was given the form that was asked for`;
        const context = writing(call, id, { action: "session.put", kind: "session.requested", text });
        return view(await maker.put(wish, context));
      },
    }),
    powerRoute("hibernate", "Release what the session uses and keep what it needs to wake", decideHibernate),
    powerRoute("wake", "Have a hibernated session run again; one that has ended starts anew", decideWake),
    route({
      method: "POST",
      path: "/v1/sessions/{id}/touch",
      access: "operator",
      summary: "Say that the session is in use, so that it does not hibernate by itself",
      params: sessionPathSchema,
      answer: sessionViewSchema,
      handle: async (call) => {
        const session = await maker.get(call.params.id);
        const shown = await view(session);
        requireTouchable(shown);
        if (shown.box !== undefined) await touch(session, shown.box, call.request);
        return shown;
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/sessions/{id}",
      access: "operator",
      summary: "Stop a session for good; it is shown as stopping until its box has let go",
      conditional: "optional",
      params: sessionPathSchema,
      query: sessionStopQuerySchema,
      answer: sessionViewSchema,
      status: 202,
      handle: async (call) => {
        const { id } = call.params;
        const { volumes } = call.query;
        const text = `Session ${id} is to be stopped`;
        const context = writing(call, id, { action: "session.stop", kind: "session.stopping", text });
        const how = { reason: "it was asked to", ...(volumes === undefined ? {} : { volumes }) };
        return view(await maker.end(await maker.get(id), how, context));
      },
    }),
  ];
}
