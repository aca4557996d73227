import { generateKeyPairSync, randomUUID } from "node:crypto";
import { systemClock } from "../base/clock.ts";
import type { RemoteOffer, RemoteProof } from "../contract/remote/offer.ts";
import { operationDigest } from "../contract/remote/operation-digest.ts";
import { newRemoteKey, publicTextOf } from "../contract/remote/remote-key.ts";
import { signTicket, type TicketClaims } from "../contract/remote/ticket.ts";
import type { TicketKey } from "../contract/remote/ticket-key.ts";

export type OfferedAttempt = Pick<RemoteOffer, "session" | "attempt" | "operator" | "operation" | "router">;

/** Signs what a hub signs: what an operator shows to a box, and what the box knows it by. */
export function createProofHub(id = "key-1") {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const jwk: TicketKey = { kty: "OKP", crv: "Ed25519", x, kid: id, use: "sig", alg: "EdDSA" };
  const nowSeconds = () => Math.floor(systemClock.wallMs() / 1000);
  return {
    jwk,
    signing: { id, privateKey },
    proof: (seal = false): RemoteProof => ({ keys: [jwk], issuedAt: nowSeconds(), seal }),
    /** The operator's for this attempt; `claims` are what a test wants otherwise. */
    ticketFor: (
      offered: OfferedAttempt,
      { box, key, seal = false }: { readonly box: string; readonly key: string; readonly seal?: boolean },
      claims: Partial<TicketClaims> = {},
    ): string => {
      const iat = nowSeconds();
      return signTicket(
        {
          sid: offered.session,
          side: "operator",
          box,
          sub: offered.operator,
          op: offered.operation.kind,
          aud: offered.router.id,
          iat,
          exp: iat + 90,
          att: offered.attempt,
          opk: key,
          oph: operationDigest(offered.operation),
          seal,
          jti: randomUUID(),
          idle: 1800,
          max: 28_800,
          ...claims,
        },
        { id, privateKey },
      );
    },
  };
}

export function newKeyPair() {
  const privateKey = newRemoteKey();
  return { privateKey, key: publicTextOf(privateKey) };
}
