import type { Gauge } from "prom-client";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import { WORKLOAD_STATES } from "../../contract/workload.ts";
import type { WorkloadMetric } from "./workload-metric.ts";

/** Of sessions, from what `sluice status` tells of them. */
export const SESSION_METRICS: readonly WorkloadMetric[] = [
  {
    name: "sluice_session_hibernations_total",
    help: "Times that it fell asleep, in this life of the agent",
    isCounter: true,
    read: ({ session }) => session?.hibernations,
  },
  {
    name: "sluice_session_wakes_total",
    help: "Times that it woke, in this life of the agent",
    isCounter: true,
    read: ({ session }) => session?.wakes,
  },
  {
    name: "sluice_session_open_connections",
    help: "Open connections to its ports",
    isCounter: false,
    read: ({ session }) => session?.openConnections,
  },
];

/** What needs more labels than the id. */
export function addSessions(
  workloads: readonly WorkloadStatus[],
  gauge: <L extends string>(name: string, help: string, ...labelNames: L[]) => Gauge<L>,
): void {
  const sessions = workloads.filter(({ session }) => session !== undefined);
  if (sessions.length === 0) return;
  const states = gauge("sluice_sessions", "Sessions by state", "state");
  for (const state of WORKLOAD_STATES) states.set({ state }, sessions.filter((one) => one.state === state).length);
  const wakes = gauge(
    "sluice_session_wake_seconds",
    "Its last wake, until it worked, by what it woke from",
    "id",
    "depth",
  );
  for (const { id, session } of sessions) {
    for (const [depth, ms] of Object.entries(session?.wakeMs ?? {})) wakes.set({ id, depth }, (ms ?? 0) / 1000);
  }
}
