import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { BOX_CONNECTIONS, type BoxConnection } from "../../contract/fleet/box-view.ts";
import { SESSION_STATES, type SessionState } from "../../contract/fleet/session.ts";
import { TUNNEL_PHASES, type TunnelPhase } from "../../contract/fleet/tunnel.ts";
import type { RemoteFigures } from "../remote/remote-parts.ts";
import type { ReportAnswer } from "../store/box-report.ts";
import type { TransferFigures } from "../transfers/transfer-parts.ts";

/** Read when somebody asks. */
export interface HubFigures {
  readonly connections: () => Readonly<Record<BoxConnection, number>>;
  readonly openStreams: () => number;
  readonly behind: () => number;
  readonly viewers: () => number;
  readonly logReaders: () => number;
  readonly reports: () => Readonly<Record<ReportAnswer, number>>;
  readonly turnedAway: () => number;
  readonly cutSlow: () => number;
  readonly droppedSamples: () => number;
  readonly deliveries: () => Readonly<Record<"sent" | "failed" | "given-up", number>>;
  readonly alerts: () => number;
  /** Of the whole fleet. Rejects while the store is away. */
  readonly tunnels: () => Promise<Readonly<Record<TunnelPhase, number>>>;
  /** The same of sessions. */
  readonly sessions: () => Promise<Readonly<Record<SessionState, number>>>;
  readonly remote: RemoteFigures;
  readonly transfers: TransferFigures;
}

export interface HubMetrics {
  readonly contentType: string;
  text(): Promise<string>;
}

/** The figures of one hub in the Prometheus text format. Names end in their unit; counters count since the hub's start. */
export function createHubMetrics(figures: HubFigures): HubMetrics {
  const registers = [new Registry()];
  const [registry] = registers;
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  const counter = (name: string, help: string, read: () => Readonly<Record<string, number>>, label: string) =>
    new Counter({
      name,
      help,
      registers,
      labelNames: [label],
      collect() {
        this.reset();
        for (const [value, count] of Object.entries(read())) this.inc({ [label]: value }, count);
      },
    });

  new Gauge({
    name: "sluice_hub_boxes",
    help: "Boxes by how they are connected, as this hub sees the fleet",
    registers,
    labelNames: ["connection"],
    collect() {
      const counts = figures.connections();
      for (const connection of BOX_CONNECTIONS) this.set({ connection }, counts[connection]);
    },
  });
  new Gauge({
    name: "sluice_hub_tunnels",
    help: "Tunnels of the fleet by phase; absent while the store is away",
    registers,
    labelNames: ["phase"],
    async collect() {
      this.reset();
      const counts = await figures.tunnels().catch(() => undefined);
      if (counts !== undefined) for (const phase of TUNNEL_PHASES) this.set({ phase }, counts[phase]);
    },
  });
  new Gauge({
    name: "sluice_hub_sessions",
    help: "Sessions of the fleet by state; absent while the store is away",
    registers,
    labelNames: ["state"],
    async collect() {
      this.reset();
      const counts = await figures.sessions().catch(() => undefined);
      if (counts !== undefined) for (const state of SESSION_STATES) this.set({ state }, counts[state]);
    },
  });
  new Gauge({
    name: "sluice_hub_remote_sessions",
    help: "Remote sessions of the fleet by state",
    registers,
    labelNames: ["state"],
    collect() {
      for (const [state, count] of Object.entries(figures.remote.states())) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "sluice_hub_transfers",
    help: "Transfers of the fleet by state",
    registers,
    labelNames: ["state"],
    collect() {
      for (const [state, count] of Object.entries(figures.transfers.states())) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "sluice_hub_transfer_workers",
    help: "Workers of transfers by whether they are heard",
    registers,
    labelNames: ["status"],
    collect() {
      for (const [status, count] of Object.entries(figures.transfers.workers())) this.set({ status }, count);
    },
  });
  counter(
    "sluice_hub_remote_admissions_total",
    "Those who asked this hub to join a remote session, by what became of it",
    figures.remote.admissions,
    "outcome",
  );
  gauge("sluice_hub_terminals", "Shells on boxes that pages of this hub show", figures.remote.terminals);
  gauge("sluice_hub_box_streams", "Event streams of boxes that are open at this hub", figures.openStreams);
  gauge("sluice_hub_box_streams_behind", "Boxes that wait to be told something", figures.behind);
  gauge("sluice_hub_viewers", "Those who watch the events of the fleet at this hub", figures.viewers);
  gauge("sluice_hub_log_readers", "Readers of logs at this hub", figures.logReaders);
  gauge("sluice_hub_alerts", "Alerts that are firing", figures.alerts);
  counter("sluice_hub_reports_total", "Reports of boxes by what became of them", figures.reports, "answer");
  counter("sluice_hub_deliveries_total", "Attempts to tell a webhook, by outcome", figures.deliveries, "outcome");
  counter(
    "sluice_hub_connections_refused_total",
    "Connections of boxes that were closed or not let in",
    () => ({ "too-many-at-once": figures.turnedAway(), "takes-nothing": figures.cutSlow() }),
    "reason",
  );
  counter(
    "sluice_hub_samples_dropped_total",
    "Figures that were lost",
    () => ({ telemetry: figures.droppedSamples() }),
    "of",
  );
  if (registry !== undefined) collectDefaultMetrics({ register: registry });
  return {
    contentType: registry?.contentType ?? "text/plain",
    text: async () => `${(await registry?.metrics()) ?? ""}${figures.remote.router()}`,
  };
}
