import type { Service } from "../../base/service.ts";
import type { Report } from "../../contract/report.ts";
import type { Route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import { createBoxOffers } from "./box-offers.ts";
import { createSeatBook } from "./seat-book.ts";
import { createSessionMaker, type SessionMaker } from "./session-maker.ts";
import { createSessionRoutes } from "./session-routes.ts";
import { createSessionService } from "./session-service.ts";
import { createUnclaimedWatch } from "./unclaimed-watch.ts";
import { createUserBook } from "./user-book.ts";

/** Everything that a hub does with sessions. */
export interface SessionParts {
  readonly routes: readonly Route[];
  readonly service: Service;
  readonly maker: SessionMaker;
  /** Of whatever a box reports. */
  onReport(boxId: string, report: Report): void;
}

export function createSessionParts(
  { sessionsPerUser }: { readonly sessionsPerUser?: number | undefined },
  deps: { readonly context: HubContext; readonly presence: Pick<Presence, "of" | "onChange" | "ready"> },
): SessionParts {
  const { context, presence } = deps;
  const seats = createSeatBook(context);
  const users = createUserBook({ sessionsPerUser }, context);
  const maker = createSessionMaker(context, { users });
  const offers = createBoxOffers(context, { presence, seats });
  return {
    maker,
    routes: createSessionRoutes(context, { maker, offers }),
    service: createSessionService({ context, presence, seats, users, offers, maker }),
    onReport: createUnclaimedWatch({ ...context, maker }).onReport,
  };
}
