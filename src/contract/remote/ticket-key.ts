import { createPublicKey, type KeyObject } from "node:crypto";
import { z } from "zod";

/** Ed25519 (RFC 8037). */
export const ticketKeySchema = z.object({
  kty: z.literal("OKP"),
  crv: z.literal("Ed25519"),
  x: z.string(),
  kid: z.string(),
  use: z.literal("sig"),
  alg: z.literal("EdDSA"),
});
export type TicketKey = z.output<typeof ticketKeySchema>;

/** `undefined`: it is none. */
export function toVerifyKey({ kty, crv, x }: Pick<TicketKey, "kty" | "crv" | "x">): KeyObject | undefined {
  try {
    return createPublicKey({ key: { kty, crv, x }, format: "jwk" });
  } catch {
    return undefined;
  }
}
