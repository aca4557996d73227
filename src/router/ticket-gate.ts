import type { KeyObject } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { readTicket, type TicketClaims } from "../contract/remote/ticket.ts";
import { TICKET_LEEWAY_SECONDS } from "../contract/signed-token.ts";
import type { TicketKeys } from "./router.ts";

export interface TicketGate {
  /** Spends the ticket. Rejects with `unauthorized` and one sentence, or with `MisroutedTicket`. */
  admit(ticket: string): Promise<TicketClaims>;
}

/** A good ticket at another router than it is for. It is not spent. */
export class MisroutedTicket extends AppError<"refused"> {
  readonly routerId: string;

  constructor(routerId: string, ownId: string) {
    super("refused", `the ticket is for the router ${routerId}; this is ${ownId}`);
    this.routerId = routerId;
  }
}

const FORGET_EVERY_SECONDS = 10;

/** Each ticket counts once: it is remembered until it would be refused for its age. */
export function createTicketGate(
  { routerId }: { readonly routerId: string },
  deps: { readonly keys: TicketKeys; readonly clock: Pick<Clock, "wallMs"> },
): TicketGate {
  const spentUntil = new Map<string, number>();
  let forgottenAt = 0;

  const read = (ticket: string, nowSeconds: number) => {
    let isKeyMissing = false;
    const keyOf = (id: string): KeyObject | undefined => {
      const key = deps.keys.get(id);
      isKeyMissing = key === undefined;
      return key;
    };
    try {
      return { claims: readTicket(ticket, { keyOf, nowSeconds }) };
    } catch (thrown) {
      return { thrown, isKeyMissing };
    }
  };

  return {
    admit: async (ticket) => {
      const nowSeconds = Math.floor(deps.clock.wallMs() / 1000);
      let result = read(ticket, nowSeconds);
      if (result.isKeyMissing === true && deps.keys.refresh !== undefined) {
        await deps.keys.refresh();
        result = read(ticket, nowSeconds);
      }
      if (result.claims === undefined) throw result.thrown;
      const { claims } = result;
      if (claims.aud !== routerId) throw new MisroutedTicket(claims.aud, routerId);
      if (nowSeconds - forgottenAt >= FORGET_EVERY_SECONDS) {
        forgottenAt = nowSeconds;
        for (const [jti, until] of spentUntil) if (until < nowSeconds) spentUntil.delete(jti);
      }
      if (spentUntil.has(claims.jti)) {
        throw new AppError("unauthorized", "the ticket was used before: ask the hub for another");
      }
      spentUntil.set(claims.jti, claims.exp + TICKET_LEEWAY_SECONDS);
      return claims;
    },
  };
}
