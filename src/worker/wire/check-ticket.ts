import { createPublicKey, type KeyObject } from "node:crypto";
import { messageOf } from "../../base/errors.ts";
import { readTransferTicket, type TransferTicket } from "../../contract/transfer/transfer-ticket.ts";
import type { HeartbeatAnswer } from "../../contract/transfer/worker-heartbeat.ts";
import { fault } from "../fault.ts";

/** What tickets are verified with: the hub's keys and the hub's time, so that this box's clock may be wrong. */
export interface TicketChecker {
  keys(keys: HeartbeatAnswer["ticket_keys"]): void;
  /** Throws `denied`. `certificate`: what the side that dialled has shown. */
  check(ticket: string, role: "src" | "dst", certificate: string | undefined): TransferTicket;
}

export function createTicketChecker(deps: {
  readonly workerId: string;
  readonly nowSeconds: () => number;
}): TicketChecker {
  let known = new Map<string, KeyObject>();
  return {
    keys: (keys) => {
      known = new Map(keys.map((key) => [key.kid, createPublicKey({ key: { ...key }, format: "jwk" })]));
    },
    check: (ticket, role, certificate) => {
      let claims: TransferTicket;
      try {
        claims = readTransferTicket(ticket, { keyOf: (id) => known.get(id), nowSeconds: deps.nowSeconds() });
      } catch (thrown) {
        throw fault("denied", messageOf(thrown), thrown);
      }
      if (claims[role] !== deps.workerId) throw fault("denied", "the ticket is for another worker");
      // In the clear nobody shows a certificate: such a network is trusted by configuration.
      if (claims.cert !== undefined && certificate !== undefined && claims.cert !== certificate) {
        throw fault("denied", "the ticket is for a worker with another certificate");
      }
      return claims;
    },
  };
}
