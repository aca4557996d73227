import type { KeyObject } from "node:crypto";
import { AppError } from "../base/errors.ts";
import type { RemoteOffer, RemoteProof } from "../contract/remote/offer.ts";
import { operationDigest } from "../contract/remote/operation-digest.ts";
import { readTicket, type TicketClaims } from "../contract/remote/ticket.ts";
import { toVerifyKey } from "../contract/remote/ticket-key.ts";

/** What the box knows of an attempt from its hub, over a link that no router sees. */
export interface ExpectedOperator {
  readonly offer: Pick<RemoteOffer, "session" | "attempt" | "operator" | "operation" | "router">;
  readonly proof: RemoteProof;
  readonly box: string;
  /** By the hub's clock. */
  readonly nowSeconds: number;
  /** Tickets that were shown here before. */
  readonly spent: ReadonlySet<string>;
}

export interface ProvenTicket {
  /** Single use. */
  readonly id: string;
  /** The X25519 key whose holder it lets in. */
  readonly operatorKey: string;
}

/**
 * Whether a ticket lets its holder into this attempt: the hub has signed it, for this box, session, operator and operation, it is not
 * over, and was not shown before. Throws `unauthorized` or `refused` with one sentence that tells no part of it. Pure.
 */
export function judgeTicket(ticket: string, expected: ExpectedOperator): ProvenTicket {
  const { offer, proof, box, nowSeconds, spent } = expected;
  const keyOf = (id: string): KeyObject | undefined => {
    const found = proof.keys.find(({ kid }) => kid === id);
    return found === undefined ? undefined : toVerifyKey(found);
  };
  const claims = readTicket(ticket, { keyOf, nowSeconds, reader: "box" });
  const wrong = wrongClaim(claims, { offer, proof, box });
  if (wrong !== undefined) throw new AppError("refused", `the ticket is for another ${wrong} than the hub offered`);
  if (claims.opk === undefined) throw new AppError("unauthorized", "the ticket names no key that could be proved");
  if (spent.has(claims.jti)) throw new AppError("unauthorized", "the ticket was shown before: the hub gives another");
  return { id: claims.jti, operatorKey: claims.opk };
}

function wrongClaim(
  claims: TicketClaims,
  { offer, proof, box }: Pick<ExpectedOperator, "offer" | "proof" | "box">,
): string | undefined {
  const pairs = [
    ["side", claims.side, "operator"],
    ["box", claims.box, box],
    ["session", claims.sid, offer.session],
    ["attempt", claims.att, offer.attempt],
    ["operator", claims.sub, offer.operator],
    ["operation", claims.oph, operationDigest(offer.operation)],
    ["way (sealed or not)", claims.seal ?? false, proof.seal],
    ["router", claims.aud, offer.router.id],
  ] as const;
  return pairs.find(([, given, wanted]) => given !== wanted)?.[0];
}
