import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import { tokenCreatedSchema, tokenCreateSchema, tokenViewSchema, whoamiSchema } from "../../contract/fleet/token.ts";
import { isoOf, writeOf } from "../fleet/write-of.ts";
import { type Route, route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { UsedToken } from "../store/operator-tokens.ts";
import { newOperatorToken } from "./first-token.ts";

const tokenPath = z.object({ id: z.string().min(1).max(100) });

/** Tokens of people and programs. The tokens themselves are shown once and stored as hashes. */
export function createTokenRoutes({ store, clock, newSecret, hubId, version }: HubContext): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/whoami",
      access: "viewer",
      summary: "Whose token this is",
      answer: whoamiSchema,
      handle: async ({ caller }) => {
        if (caller.kind !== "operator") throw new AppError("refused", "this is for the tokens of operators");
        const { kind, tokenId, name, role } = caller;
        return { kind, tokenId, name, role, hub: { id: hubId, version } };
      },
    }),
    route({
      method: "GET",
      path: "/v1/tokens",
      access: "admin",
      summary: "Tokens of operators, revoked ones included",
      query: pageQuerySchema,
      answer: pageSchema(tokenViewSchema),
      handle: async ({ query }) => {
        const { items, next } = await store.operatorTokens.list(query);
        return { items: items.map(tokenView), ...(next === undefined ? {} : { next }) };
      },
    }),
    route({
      method: "POST",
      path: "/v1/tokens",
      access: "admin",
      summary: "Make a token with a role; it is shown this once",
      body: tokenCreateSchema,
      answer: tokenCreatedSchema,
      status: 201,
      handle: async (call) => {
        const { name, role, expiresInSeconds } = call.body;
        const nowMs = clock.wallMs();
        const made = newOperatorToken({ name, role, nowMs }, newSecret);
        const expiry = expiresInSeconds === undefined ? {} : { expiresMs: nowMs + expiresInSeconds * 1000 };
        const context = writeOf(call, clock, {
          action: "token.create",
          subject: `token/${made.record.id}`,
          detail: `${name} (${role})`,
        });
        const held = await store.operatorTokens.create({ ...made.record, ...expiry }, context);
        // A repeated request finds the token of the first time, whose secret nobody holds any more but who got it.
        return { ...tokenView(held), ...(held.hash === made.record.hash ? { token: made.secret } : {}) };
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/tokens/{id}",
      access: "admin",
      summary: "Revoke a token; what is open with it is cut within seconds",
      params: tokenPath,
      answer: tokenViewSchema,
      handle: async (call) => {
        const { id } = call.params;
        const context = writeOf(call, clock, { action: "token.revoke", subject: `token/${id}` });
        return tokenView(await store.operatorTokens.revoke(id, context));
      },
    }),
  ];
}

function tokenView({ id, name, role, createdMs, expiresMs, revokedMs, lastUsedMs }: UsedToken) {
  return {
    id,
    name,
    role,
    createdAt: isoOf(createdMs),
    ...(expiresMs === undefined ? {} : { expiresAt: isoOf(expiresMs) }),
    ...(revokedMs === undefined ? {} : { revokedAt: isoOf(revokedMs) }),
    ...(lastUsedMs === undefined ? {} : { lastUsedAt: isoOf(lastUsedMs) }),
  };
}
