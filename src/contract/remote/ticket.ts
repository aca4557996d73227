import { type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { AppError, messageOf } from "../../base/errors.ts";
import { boxIdSchema } from "../identifier.ts";
import { remoteKeySchema } from "./remote-key.ts";

/**
 * What a hub lets the bearer do at one router: once, for a short time. `operator` and `box` join a session; `control` lists and ends
 * sessions.
 */
export const ticketClaimsSchema = z.object({
  /** The session; `*` of `control` for all. */
  sid: z.string().min(1).max(64),
  side: z.enum(["operator", "box", "control"]),
  box: boxIdSchema,
  /** Name of the operator whose session it is. */
  sub: z.string().min(1).max(128),
  /** Kind of the operation, for counters. */
  op: z.string().min(1).max(16),
  /** The router that takes it. */
  aud: z.string().min(1).max(64),
  /** Seconds since the epoch. */
  iat: z.int(),
  exp: z.int(),
  /**
   * Attempt of the session, as its offer counts them: only sides of the same attempt meet at a router, and a later one ends an
   * earlier. Otherwise a side that is about to be replaced could be met, again and again. Absent: it meets any.
   */
  att: z.int().min(1).optional(),
  /** Of an operator's, for the box, which is shown the same ticket: their X25519 key for this attempt. Who joins has to prove that it is theirs. */
  opk: remoteKeySchema.optional(),
  /** The operation itself: `operationDigest`. */
  oph: z.string().max(64).optional(),
  /** The two ends seal what they say. */
  seal: z.boolean().optional(),
  /** Single use. */
  jti: z.string().min(16).max(64),
  /** Seconds: limits of the session. */
  idle: z.int().min(1),
  max: z.int().min(1),
});
export type TicketClaims = z.output<typeof ticketClaimsSchema>;

const HEADER = { alg: "EdDSA", typ: "JWT" } as const;
const MAX_TICKET_CHARACTERS = 4096;
/** Clocks of a hub and a router may differ by this much. */
export const TICKET_LEEWAY_SECONDS = 30;

/** A JWT signed with Ed25519 (RFC 8037). */
export function signTicket(claims: TicketClaims, key: { readonly id: string; readonly privateKey: KeyObject }): string {
  const body = `${encode({ ...HEADER, kid: key.id })}.${encode(claims)}`;
  return `${body}.${sign(null, Buffer.from(body), key.privateKey).toString("base64url")}`;
}

/** Throws `unauthorized` with the one sentence that says what is wrong with it. Never tells a part of the ticket. */
export function readTicket(
  ticket: string,
  deps: { readonly keyOf: (id: string) => KeyObject | undefined; readonly nowSeconds: number },
): TicketClaims {
  const [head = "", body = "", signature = "", ...rest] =
    ticket.length > MAX_TICKET_CHARACTERS ? [] : ticket.split(".");
  if (signature === "" || rest.length > 0)
    throw new AppError("unauthorized", "the ticket is none: three parts are expected");
  const header = parse(head, z.object({ alg: z.literal(HEADER.alg), kid: z.string() }), "header");
  const key = deps.keyOf(header.kid);
  if (key === undefined) throw new AppError("unauthorized", "the ticket is signed with a key that is not known here");
  if (!verify(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))) {
    throw new AppError("unauthorized", "the ticket's signature is wrong");
  }
  const claims = parse(body, ticketClaimsSchema, "claims");
  if (claims.exp + TICKET_LEEWAY_SECONDS < deps.nowSeconds) {
    throw new AppError(
      "unauthorized",
      `the ticket ended ${deps.nowSeconds - claims.exp} s ago: ask the hub for another`,
    );
  }
  if (claims.iat - TICKET_LEEWAY_SECONDS > deps.nowSeconds) {
    throw new AppError(
      "unauthorized",
      `the ticket begins in ${claims.iat - deps.nowSeconds} s: the clock here or that of the hub is wrong`,
    );
  }
  return claims;
}

function parse<Shape>(part: string, schema: z.ZodType<Shape>, what: string): Shape {
  try {
    return schema.parse(JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
  } catch (thrown) {
    throw new AppError("unauthorized", `the ticket's ${what} cannot be read`, {
      cause: messageOf(thrown).slice(0, 200),
    });
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
