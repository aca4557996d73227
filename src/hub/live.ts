import type { MayReach } from "../base/guarded-lookup.ts";
import { createHttpFetch } from "../base/http-fetch.ts";
import { createMetricsServer } from "../base/metrics-server.ts";
import { isSpecialAddress, parseNetworks } from "../base/network-range.ts";
import type { Service } from "../base/service.ts";
import type { BoxConnection } from "../contract/fleet/box-view.ts";
import { createAlertKeeper } from "./alerts/alert-keeper.ts";
import { createAlertRoutes } from "./alerts/alert-routes.ts";
import { createRuleSealer } from "./alerts/seal-rules.ts";
import { createWebhookSender } from "./alerts/webhook-sender.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import { createBoxEventsRoute } from "./events/box-events-route.ts";
import { createBoxRoom } from "./events/box-room.ts";
import { createConnectGate } from "./events/connect-gate.ts";
import { createConnectionMarks } from "./events/connection-marks.ts";
import { createPeopleEventsRoute } from "./events/people-events-route.ts";
import { createPeopleFeed } from "./events/people-feed.ts";
import type { Route } from "./http/route.ts";
import type { HubContext } from "./hub-context.ts";
import { createCloneWatch } from "./life/clone-watch.ts";
import { createCommandDeadlines } from "./life/command-deadlines.ts";
import { createConnectionEvents } from "./life/connection-events.ts";
import { CONNECTION_LIMITS } from "./life/connection-state.ts";
import { createPresence, type Presence } from "./life/presence.ts";
import { createReportIntake } from "./life/report-intake.ts";
import { createReportRoute } from "./life/report-route.ts";
import { createLogRoutes } from "./logs/log-routes.ts";
import { createLogStreams } from "./logs/log-streams.ts";
import { createHubMetrics } from "./metrics/hub-metrics.ts";
import { createMetricsRoute } from "./metrics/metrics-route.ts";
import type { MountedRouter } from "./remote/mounted-router.ts";
import { REMOTE_DEFAULTS, type RemoteOptions } from "./remote/remote-options.ts";
import { createRemoteParts, type RemoteParts } from "./remote/remote-parts.ts";
import type { RecordingPlace } from "./remote/terminal/recordings.ts";
import { createSessionParts } from "./sessions/session-parts.ts";
import { countSessions } from "./sessions/session-view.ts";
import { createSampleBook } from "./telemetry/sample-book.ts";
import { createTelemetryRoute } from "./telemetry/telemetry-route.ts";
import { createTransferParts } from "./transfers/transfer-parts.ts";
import { createPortBook } from "./tunnels/port-book.ts";
import { createWorkloadOpener } from "./tunnels/shared-key.ts";
import { createTunnelMaker } from "./tunnels/tunnel-maker.ts";
import { createTunnelRoutes } from "./tunnels/tunnel-routes.ts";
import { createTunnelService } from "./tunnels/tunnel-service.ts";
import { countTunnels } from "./tunnels/tunnel-view.ts";

export interface LiveOptions {
  /** Several hubs share the store. */
  readonly manyHubs: boolean;
  /** Period of the comments that prove a connection. */
  readonly beatMs: number;
  /** To people, who look at a page: they are few, and want to see soon that it is not true any more. */
  readonly peopleBeatMs: number;
  /** Boxes that may connect each second, and at once. */
  readonly connects: { readonly perSecond: number; readonly burst: number };
  /** Where boxes reach this very hub, for what only this one of several hubs can take; `undefined`: where they reach any. */
  readonly advertisedUrl: () => string | undefined;
  /** Private, loopback and link-local networks that webhooks may lead to; parsed before. */
  readonly webhookNetworks: readonly string[];
  /** Absent: no limit. */
  readonly sessionsPerUser?: number | undefined;
  readonly remote: RemoteOptions;
  /** Of what browsers' terminals show; left out: there is no place for any. */
  readonly recordings?: RecordingPlace | undefined;
  /** Where the metrics are served without a token as well. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined;
}

export const LIVE_DEFAULTS: Omit<LiveOptions, "manyHubs" | "advertisedUrl"> = {
  beatMs: 15_000,
  peopleBeatMs: 3000,
  connects: { perSecond: 500, burst: 500 },
  webhookNetworks: [],
  remote: REMOTE_DEFAULTS,
};

/** What goes on between the hub, its boxes and those who watch. */
export interface Live {
  readonly routes: readonly Route[];
  /** To be run for as long as the hub lives. */
  readonly services: readonly Service[];
  readonly presence: Presence;
  readonly remote: RemoteParts;
  /** For the views of boxes. */
  readonly boxStates: { connectionOf(facts: { readonly boxId: string }): BoxConnection };
}

const FLUSH_MS = 5000;
const REFRESH_MS = { shared: 10_000, own: 60_000 } as const;

export interface LiveDeps {
  readonly authenticator: Pick<Authenticator, "identify" | "watch">;
  /** This hub's own router, once it is there; left out: it has none. */
  readonly router?: (() => MountedRouter | undefined) | undefined;
}

export function createLive(options: LiveOptions, context: HubContext, deps: LiveDeps): Live {
  const { store, clock, random, log, hubId, secrets } = context;
  const isAllowed = parseNetworks(options.webhookNetworks);
  const mayReach: MayReach = (address) => !isSpecialAddress(address) || isAllowed?.(address) === true;
  const presence = createPresence(
    {
      limits: CONNECTION_LIMITS,
      flushMs: FLUSH_MS,
      refreshMs: options.manyHubs ? REFRESH_MS.shared : REFRESH_MS.own,
    },
    { store, clock, log, hubId },
  );
  const clones = createCloneWatch({ store, clock, log });
  const intake = createReportIntake({ store, clock, log, presence, clones });
  const room = createBoxRoom(
    { beatMs: options.beatMs, connectsPerSecond: options.connects.perSecond },
    {
      store,
      clock,
      random,
      log,
      hubId,
      open: createWorkloadOpener({ secrets, log }),
      marks: options.manyHubs ? createConnectionMarks({ store, clock, log, hubId }) : undefined,
      onLink: presence.linked,
      onTakeover: (older, newer) => clones.sawTakeover(newer.boxId, [older.address, newer.address]),
    },
  );
  const gate = createConnectGate(options.connects, { clock, random });
  const feed = createPeopleFeed({ beatMs: options.peopleBeatMs }, { store, clock, log });
  const samples = createSampleBook({ store, clock, log });
  const alerts = createAlertKeeper({ store, clock, log, hubId, presence });
  const webhooks = createWebhookSender({
    store,
    clock,
    random,
    log,
    fetch: createHttpFetch({ mayReach }),
    secrets,
    version: context.version,
  });
  intake.onReport(samples.note);
  intake.onReport(alerts.onReport);
  const logs = createLogStreams(options, { store, clock, presence, newSecret: context.newSecret });
  const remote = createRemoteParts(
    {
      ...options.remote,
      manyHubs: options.manyHubs,
      ownUrl: options.advertisedUrl,
      recordings: options.recordings,
    },
    { context, presence, takerOf: room.takerOf, ...deps },
  );
  intake.onReport(remote.onReport);
  const transfers = createTransferParts(options, { context, keys: remote.ticketKeys, routers: remote.routers });
  const metrics = createHubMetrics({
    connections: presence.counts,
    openStreams: room.count,
    behind: room.behind,
    viewers: feed.count,
    logReaders: logs.count,
    reports: intake.counts,
    turnedAway: gate.turnedAway,
    cutSlow: room.cutSlow,
    droppedSamples: samples.dropped,
    deliveries: webhooks.counts,
    alerts: alerts.firing,
    tunnels: () => countTunnels(store),
    sessions: () => countSessions(store),
    remote: remote.figures,
    transfers: transfers.figures,
  });
  // The same figures on a port of their own, without a token: for a collector in the hub's own network.
  const metricsServer = createMetricsServer(
    { listen: options.metrics },
    { render: () => metrics.text(), clock, random, log },
  );
  const ports = createPortBook({ store, clock, random });
  const maker = createTunnelMaker(context, { ports });
  const sessions = createSessionParts(options, { context, presence });
  intake.onReport(sessions.onReport);
  return {
    presence,
    remote,
    boxStates: { connectionOf: ({ boxId }) => presence.of(boxId).connection },
    services: [
      presence,
      createConnectionEvents({ store, clock, log, hubId, presence }),
      createCommandDeadlines(context),
      room,
      feed,
      logs,
      samples,
      alerts,
      createRuleSealer(context),
      webhooks,
      createTunnelService({ context, presence, ports, maker }),
      sessions.service,
      ...remote.services,
      transfers.service,
      metricsServer,
    ],
    routes: [
      createBoxEventsRoute({ room, clock, gate }),
      createReportRoute(intake),
      createPeopleEventsRoute({ store, feed }),
      ...createLogRoutes(logs),
      createTelemetryRoute({ store, clock }),
      createMetricsRoute(metrics),
      ...createAlertRoutes({ store, clock, secrets, mayReach }),
      ...createTunnelRoutes(context, { maker }),
      ...sessions.routes,
      ...remote.routes,
      ...transfers.routes,
    ],
  };
}
