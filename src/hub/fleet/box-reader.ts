import type { z } from "zod";
import type { BoxView, boxViewSchema } from "../../contract/fleet/box-view.ts";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { HubContext } from "../hub-context.ts";
import type { Box } from "../store/box.ts";
import type { BoxReport } from "../store/box-report.ts";
import type { ExpectedSet } from "../store/expected-set.ts";
import { nodeFigures } from "../telemetry/sample-of-report.ts";
import type { BoxStates } from "./box-states.ts";
import { isoOf } from "./write-of.ts";

export interface BoxReading {
  readonly view: BoxView;
  readonly set: ExpectedSet;
  readonly report: BoxReport | undefined;
}

export interface BoxReader {
  /** The box with everything that its view is made of, read now. */
  read(box: Box): Promise<BoxReading>;
}

const UNWELL: ReadonlySet<string> = new Set(["waiting", "degraded", "stalled", "unkillable", "refused"]);

export function createBoxReader({ store }: Pick<HubContext, "store">, states: BoxStates): BoxReader {
  return {
    read: async (box) => {
      const [set, report, contact, history] = await Promise.all([
        store.expected.get(box.id),
        store.reports.get(box.id),
        store.reports.contact(box.id),
        store.history.get(box.id),
      ]);
      const lastContactMs = contact?.lastContactMs ?? report?.receivedMs;
      const connection = states.connectionOf({ boxId: box.id });
      const incidents = history.incidents.filter(({ endMs }) => endMs === undefined);
      return { view: viewOf(box, { set, report, connection, lastContactMs, incidents }), set, report };
    },
  };
}

interface ViewParts {
  readonly set: ExpectedSet;
  readonly report: BoxReport | undefined;
  readonly connection: BoxView["connection"];
  readonly lastContactMs: number | undefined;
  readonly incidents: readonly { readonly kind: string; readonly cause: string; readonly startMs: number }[];
}

/** Pure. */
export function viewOf(box: Box, parts: ViewParts): z.input<typeof boxViewSchema> {
  const { set, report, lastContactMs } = parts;
  const statuses = statusesOf(report);
  const wanted = set.entries.filter(({ desired }) => desired === "running");
  const stateOf = (id: string) => statuses.get(id)?.state;
  return {
    id: box.id,
    name: box.name,
    labels: { ...box.labels },
    revision: box.revision,
    state: box.state,
    draining: box.draining,
    ...(box.quarantine === undefined
      ? {}
      : { quarantine: { since: isoOf(box.quarantine.sinceMs), reason: box.quarantine.reason } }),
    connection: parts.connection,
    ...(lastContactMs === undefined ? {} : { lastContactAt: isoOf(lastContactMs) }),
    ...(report === undefined ? {} : reportedOf(report)),
    expectedRevision: set.revision,
    incidents: parts.incidents.map(({ kind, cause, startMs }) => ({ kind, cause, start: isoOf(startMs) })),
    workloads: {
      total: set.entries.length,
      running: wanted.filter(({ workload }) => stateOf(workload.id) === "running").length,
      unwell: wanted.filter(({ workload }) => UNWELL.has(stateOf(workload.id) ?? "")).length,
    },
    createdAt: isoOf(box.createdMs),
  };
}

function reportedOf({ report }: BoxReport) {
  const { agentVersion, verdict, bootId, applied, node, sessions, capabilities } = report;
  const { cpuPercent, memoryPercent, diskPercent, temperatureC } = nodeFigures(node);
  return {
    agentVersion,
    verdict,
    bootId,
    applied,
    ...(node === undefined ? {} : { node: { cpuPercent, memoryPercent, diskPercent, temperatureC } }),
    ...(sessions === undefined ? {} : { sessions }),
    ...(capabilities === undefined ? {} : { remote: remoteAbilitiesOf(capabilities) }),
  };
}

function remoteAbilitiesOf(capabilities: readonly string[]): string[] {
  return capabilities.flatMap((text) => (text.startsWith("remote:") ? [text.slice("remote:".length)] : []));
}

export function statusesOf(report: BoxReport | undefined): ReadonlyMap<string, WorkloadStatus> {
  return new Map((report?.report.workloads ?? []).map((status) => [status.id, status]));
}
