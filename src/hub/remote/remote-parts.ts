import { type Service, untilAborted } from "../../base/service.ts";
import type { RemoteState } from "../../contract/fleet/remote.ts";
import { type DetachedEnd, describeDetachedEnd } from "../../contract/remote/detached-end.ts";
import type { Report } from "../../contract/report.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { Route } from "../http/route.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import type { MountedEvent, MountedRouter } from "./mounted-router.ts";
import { createOwnRouterFeed } from "./own-router.ts";
import { createRecentEnds } from "./recent-ends.ts";
import { createRemoteAdmissions, parseOfferId } from "./remote-admission.ts";
import { createRemoteBook } from "./remote-book.ts";
import { createRemoteKeeper } from "./remote-keeper.ts";
import type { RemoteOptions } from "./remote-options.ts";
import type { Remote } from "./remote-record.ts";
import { createRemoteRoutes } from "./remote-routes.ts";
import { createRemoteWhy } from "./remote-why.ts";
import { createRouterBook, type RouterBook } from "./router-book.ts";
import { createRouterNews } from "./router-news.ts";
import { createRouterRoutes } from "./router-routes.ts";
import { createRecordingRoutes } from "./terminal/recording-routes.ts";
import { createRecordings, type RecordingPlace } from "./terminal/recordings.ts";
import { createTerminalRoute } from "./terminal/terminal-route.ts";
import { createTerminals } from "./terminal/terminals.ts";
import { createTicketKeys, type TicketKeys } from "./ticket-keys.ts";

/** Everything that a hub does with remote sessions. */
export interface RemoteParts {
  readonly routes: readonly Route[];
  readonly services: readonly Service[];
  /** Of whatever a box reports: it may refuse what it was offered. */
  onReport(boxId: string, report: Report): void;
  /** Of this hub's own router. */
  onRouterEvent(event: MountedEvent): void;
  /** What tickets are signed with, and what the own router verifies them with. */
  readonly ticketKeys: TicketKeys;
  /** Where else workers of transfers meet. */
  readonly routers: Pick<RouterBook, "choose" | "problem">;
  readonly figures: RemoteFigures;
}

export interface RemoteFigures {
  readonly states: () => Readonly<Record<Exclude<RemoteState, "ended">, number>>;
  readonly admissions: () => Readonly<Record<"admitted" | "resumed" | "refused", number>>;
  /** Shells that pages of this hub show. */
  readonly terminals: () => number;
  /** Prometheus text of the own router; empty without one. */
  readonly router: () => string;
}

export interface RemotePartsOptions extends RemoteOptions {
  readonly manyHubs: boolean;
  /** Where boxes reach this very hub. */
  readonly ownUrl: () => string | undefined;
  /** Of what browsers' terminals show; absent: there is no place for any. */
  readonly recordings?: RecordingPlace | undefined;
}

export interface RemotePartsDeps {
  readonly context: HubContext;
  readonly presence: Pick<Presence, "of">;
  readonly authenticator: Pick<Authenticator, "identify" | "watch">;
  /** Who sends a box its commands at once; `undefined`: nobody does for certain. */
  readonly takerOf: (boxId: string) => string | undefined;
  /** This hub's own, once it is there; left out: it has none. */
  readonly router?: (() => MountedRouter | undefined) | undefined;
}

/** Name of the own router of a hub in tickets. */
export function ownRouterId(hubId: string): string {
  return `hub-${hubId}`.toLowerCase().slice(0, 64);
}

function hasOwnRouter({ ownRouter }: RemoteOptions, deps: RemotePartsDeps): boolean {
  return ownRouter && deps.router !== undefined;
}

export function createRemoteParts(options: RemotePartsOptions, deps: RemotePartsDeps): RemoteParts {
  const { context, presence, router = () => undefined } = deps;
  const { clock, log, hubId } = context;
  const book = createRemoteBook(context, { liveBytes: (remote) => liveBytes(remote) });
  const keys = createTicketKeys(context);
  const ends = createRecentEnds(context);
  const own = hasOwnRouter(options, deps)
    ? {
        id: ownRouterId(hubId),
        url: () => options.ownUrl() ?? "",
        isOnly: !options.manyHubs,
        isDraining: () => router()?.isDraining ?? false,
        sessions: () => router()?.list().length ?? 0,
      }
    : undefined;
  const routers = createRouterBook({ own, manyHubs: options.manyHubs }, context);
  const news = createRouterNews(context, { book });
  const feed = createOwnRouterFeed({ router, news, ends, clock, log });
  const admissions = createRemoteAdmissions({ context, options, book, keys, routers, presence, takerOf: deps.takerOf });

  const why = createRemoteWhy({ context, book, presence, router });
  const { mode = "off", directory, days } = options.recordings ?? {};
  const recordings = directory === undefined ? undefined : createRecordings(directory, { clock, days });
  const terminals = createTerminals({ context, admissions, book, router, mode, recordings });

  book.onEnded(({ remote, before, isRouters, isBoxs }) => {
    if (isRouters) return;
    ends.note(remote);
    const wasHere = router()?.terminate(remote.id, remote.reason) === true;
    // The box may hold what it began and wait for its operator; where it is at a router, that router tells it.
    if (!wasHere && !isBoxs && before !== undefined && mayBeHeld(before)) void admissions.recall(before);
  });

  const liveBytes = (remote: Remote) => {
    if (remote.state !== "open" || remote.router !== own?.id) return undefined;
    const live = router()
      ?.list()
      .find(({ id }) => id === remote.id);
    return live === undefined ? undefined : { toBox: live.bytesToBox, fromBox: live.bytesFromBox };
  };
  const current = (remote: Remote): Remote => {
    const live = liveBytes(remote);
    return live === undefined ? remote : { ...remote, pairToBox: live.toBox, pairFromBox: live.fromBox };
  };

  /** As each box last said, here. */
  const endsOnBoxes = new Map<string, readonly DetachedEnd[]>();
  const refuse = async (boxId: string, offered: { readonly id: string; readonly attempt: number }, text: string) => {
    await book.end(offered.id, (remote) =>
      remote.box === boxId && remote.attempt === offered.attempt
        ? { reason: text, audit: { actor: `box:${boxId}`, action: "remote.end" } }
        : undefined,
    );
  };

  return {
    routes: [
      ...createRemoteRoutes({ book, admissions, why, current }),
      ...createRouterRoutes(context, { keys, routers, news, ends, why }),
      createTerminalRoute({ context, authenticator: deps.authenticator, terminals }),
      ...createRecordingRoutes(context, { mode, directory }),
    ],
    services: [
      createRemoteKeeper({
        context,
        manyHubs: options.manyHubs,
        book,
        keys,
        routers,
        endOnBox: ({ id, box }) => {
          const end = endsOnBoxes.get(box)?.find(({ session }) => session === id);
          return end === undefined ? undefined : describeDetachedEnd(end);
        },
      }),
      {
        name: "own router",
        run: async (signal) => {
          await feed.run(signal);
          await untilAborted(signal);
        },
      },
      terminals,
    ],
    onReport: (boxId, { commandResults, remoteEnds = [] }) => {
      if (remoteEnds.length === 0) endsOnBoxes.delete(boxId);
      else endsOnBoxes.set(boxId, remoteEnds);
      for (const { id, ok, text } of commandResults) {
        const offered = ok ? undefined : parseOfferId(id);
        if (offered === undefined) continue;
        // A store that is away: the session ends when nobody has come.
        refuse(boxId, offered, text).catch(() => log.debug(`That box ${boxId} refused ${id} could not be written`));
      }
    },
    onRouterEvent: feed.onEvent,
    ticketKeys: keys,
    routers,
    figures: {
      states: () => {
        const counts = { waiting: 0, open: 0, broken: 0 };
        for (const { state } of book.open()) if (state !== "ended") counts[state]++;
        return counts;
      },
      admissions: admissions.counts,
      terminals: terminals.count,
      router: () => router()?.metrics() ?? "",
    },
  };
}

/** Whether its box may have something of it and be at no router, or at one that is not asked for what has ended. */
function mayBeHeld({ state, attempt }: Remote): boolean {
  return state === "broken" || attempt > 1;
}
