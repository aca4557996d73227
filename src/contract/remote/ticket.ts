import type { KeyObject } from "node:crypto";
import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { readSignedToken, signToken } from "../signed-token.ts";
import { remoteKeySchema } from "./remote-key-schema.ts";

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

export function signTicket(claims: TicketClaims, key: { readonly id: string; readonly privateKey: KeyObject }): string {
  return signToken(claims, key);
}

/** Throws `unauthorized` with the one sentence that says what is wrong with it. Never tells a part of the ticket. */
export function readTicket(
  ticket: string,
  deps: {
    readonly keyOf: (id: string) => KeyObject | undefined;
    readonly nowSeconds: number;
    /** What reads it, for its words. */
    readonly reader?: "router" | "box";
  },
): TicketClaims {
  return readSignedToken(ticket, ticketClaimsSchema, { reader: "router", ...deps });
}
