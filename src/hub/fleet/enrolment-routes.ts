import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { boxPathSchema, boxViewSchema } from "../../contract/fleet/box-view.ts";
import { formatEnrolmentString } from "../../contract/fleet/enrolment-string.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import {
  enrolmentCreatedSchema,
  enrolmentCreateSchema,
  enrolmentViewSchema,
  enrolRequestSchema,
  keyAnswerSchema,
  keyPutSchema,
} from "../../contract/fleet/token.ts";
import { ENROL_PATH } from "../../contract/hub-address.ts";
import { ENROLMENT_TOKEN_PREFIX, hashSecret } from "../auth/secret-hash.ts";
import { type Caller, type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { EnrolmentToken } from "../store/box.ts";
import { notFound } from "../store/store-error.ts";
import type { BoxReader } from "./box-reader.ts";
import { isoOf, writeOf } from "./write-of.ts";

export interface EnrolmentOptions {
  /** Whether a box may work as soon as it is enrolled, where its token does not say. */
  readonly approve: boolean;
  /** What boxes are told: where the hub is, and by which authority to know it. */
  readonly hub: () => { readonly url: string; readonly caSha256: string | undefined };
}

const enrolmentPath = z.object({ id: z.string().min(1).max(100) });

/** How a box comes in: a person makes a one-time token, the box makes its own key and hands in the key's hash. */
export function createEnrolmentRoutes(
  { store, clock, newSecret }: HubContext,
  options: EnrolmentOptions,
  { reader }: { readonly reader: BoxReader },
): readonly Route[] {
  return [
    route({
      method: "POST",
      path: ENROL_PATH,
      access: "public",
      summary: "Become a box, with a one-time token and a key of one's own (its hash)",
      body: enrolRequestSchema,
      maxBodyBytes: 32 * 1024,
      answer: boxViewSchema,
      handle: async (call) => {
        const { token, boxId, keyHash, name, labels } = call.body;
        const event = { kind: "box.enrolled", boxId, text: `Box ${boxId} was enrolled` };
        const context = writeOf(call, clock, { action: "box.enrol", subject: `box/${boxId}`, event });
        const actor = `box:${boxId}`;
        const audit = { actor, action: "box.enrol", subject: `box/${boxId}`, address: call.address } as const;
        try {
          const box = await store.boxes.enrol(
            { tokenHash: hashSecret(token), boxId, name: name ?? boxId, labels: labels ?? {}, keyHash },
            { ...context, audit: { ...audit, outcome: "done" } },
          );
          return (await reader.read(box)).view;
        } catch (thrown) {
          if (thrown instanceof AppError && thrown.code === "unauthorized") {
            await store.audit.append({ ...audit, outcome: "refused", detail: thrown.message }, clock.wallMs());
          }
          throw thrown;
        }
      },
    }),
    route({
      method: "PUT",
      path: "/v1/boxes/{box}/key",
      access: "box",
      summary: "Lay down the key that the box changes to; it becomes the key when it is first used",
      params: boxPathSchema,
      body: keyPutSchema,
      answer: keyAnswerSchema,
      handle: async (call) => {
        const { box } = call.params;
        const context = writeOf(call, clock, { action: "box.stage-key", subject: `box/${box}` });
        await store.boxes.stageKey(box, call.body.keyHash, context);
        return { staged: true };
      },
    }),
    route({
      method: "GET",
      path: "/v1/enrolments",
      access: "operator",
      summary: "One-time tokens, used and expired ones included for a day",
      query: pageQuerySchema,
      answer: pageSchema(enrolmentViewSchema),
      handle: async ({ query }) => {
        const { items, next } = await store.enrolmentTokens.list(query);
        return { items: items.map(enrolmentView), ...(next === undefined ? {} : { next }) };
      },
    }),
    route({
      method: "POST",
      path: "/v1/enrolments",
      access: "operator",
      summary: "Make a one-time token for a box; it is shown this once",
      body: enrolmentCreateSchema,
      answer: enrolmentCreatedSchema,
      status: 201,
      handle: async (call) => {
        const { box, labels, approve, expiresInSeconds } = call.body;
        if (box !== undefined && (await store.boxes.get(box)) !== undefined) requireMayReplace(call.caller);
        const secret = `${ENROLMENT_TOKEN_PREFIX}${newSecret()}`;
        const nowMs = clock.wallMs();
        const id = `e-${newSecret()
          .replace(/[^A-Za-z0-9]/g, "")
          .slice(0, 10)
          .toLowerCase()}`;
        const token: EnrolmentToken = {
          id,
          hash: hashSecret(secret),
          createdMs: nowMs,
          expiresMs: nowMs + expiresInSeconds * 1000,
          ...(box === undefined ? {} : { boxId: box }),
          labels,
          approve: approve ?? options.approve,
        };
        const context = writeOf(call, clock, { action: "enrolment.create", subject: `enrolment/${id}`, detail: box });
        const held = await store.enrolmentTokens.create(token, context);
        const { url, caSha256 } = options.hub();
        const content = { hub: url, token: secret, ...(caSha256 === undefined ? {} : { ca: caSha256 }) };
        // A repeated request finds the token of the first time; its secret is not kept anywhere.
        return {
          ...enrolmentView(held),
          ...(held.hash === token.hash ? { token: formatEnrolmentString(content) } : {}),
        };
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/enrolments/{id}",
      access: "operator",
      summary: "Take a one-time token back",
      params: enrolmentPath,
      handle: async (call) => {
        const { id } = call.params;
        const context = writeOf(call, clock, { action: "enrolment.revoke", subject: `enrolment/${id}` });
        if (!(await store.enrolmentTokens.revoke(id, context))) throw notFound("enrolment", id);
        return undefined;
      },
    }),
  ];
}

/** A token that is bound to a known box replaces that box's keys, as revoking does: that takes an admin. */
function requireMayReplace(caller: Caller): void {
  if (caller.kind === "operator" && caller.role === "admin") return;
  throw new AppError("refused", "box: is enrolled already; a token that replaces its key needs the role admin", {
    field: "box",
  });
}

function enrolmentView({ id, createdMs, expiresMs, boxId, labels, approve, takenMs, takenBy }: EnrolmentToken) {
  return {
    id,
    createdAt: isoOf(createdMs),
    expiresAt: isoOf(expiresMs),
    ...(boxId === undefined ? {} : { box: boxId }),
    labels: { ...labels },
    approve,
    ...(takenMs === undefined ? {} : { takenAt: isoOf(takenMs) }),
    ...(takenBy === undefined ? {} : { takenBy }),
  };
}
