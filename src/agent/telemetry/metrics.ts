import { Counter, Gauge, Registry } from "prom-client";
import { type AgentStatus, LINK_STATES, type WorkloadStatus } from "../../contract/local-status.ts";
import { WORKLOAD_STATES } from "../../contract/workload.ts";
import { addSessions, SESSION_METRICS } from "./session-metrics.ts";
import { TUNNEL_METRICS } from "./tunnel-metrics.ts";
import type { WorkloadMetric } from "./workload-metric.ts";

/** What the status does not tell of the agent's own process. */
export interface ProcessFacts {
  readonly rssBytes: number;
  readonly startedWallMs: number;
}

/**
 * The agent in the text format of Prometheus, as it is now. Everything comes from the status, so that metrics and
 * `sluice status` can never disagree; nothing is kept between two readings.
 */
export async function renderMetrics(status: AgentStatus, process: ProcessFacts): Promise<string> {
  const registers = [new Registry()];
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ name, help, labelNames, registers });
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name, help, labelNames, registers });

  gauge("sluice_info", "Always 1; the labels tell which agent this is", "version", "box", "verdict").set(
    { version: status.agentVersion, box: status.boxId, verdict: status.verdict },
    1,
  );
  gauge("process_resident_memory_bytes", "Memory that the agent holds").set(process.rssBytes);
  gauge("process_start_time_seconds", "Start of the agent, in seconds since 1970").set(process.startedWallMs / 1000);

  const states = gauge("sluice_workloads", "Workloads by state", "state");
  for (const state of WORKLOAD_STATES) {
    states.set({ state }, status.workloads.filter((workload) => workload.state === state).length);
  }
  gauge("sluice_expected_workloads", "Workloads that the server expects").set(status.expected.workloads);
  gauge("sluice_held_removals", "Removals that the shrink guard holds back").set(status.expected.held?.ids.length ?? 0);

  const linkState = gauge("sluice_link_state", "1 for the state that the link is in", "state");
  for (const state of LINK_STATES) linkState.set({ state }, status.link.state === state ? 1 : 0);
  counter("sluice_link_connects_total", "Connections to the server").inc(status.link.connects);
  counter("sluice_link_events_total", "Events that the server sent").inc(status.link.events);
  const bad = counter("sluice_bad_inputs_total", "Inputs that were refused or skipped", "kind");
  for (const [kind, count] of Object.entries(status.badInputs)) bad.inc({ kind }, count);

  gauge("sluice_registry_durable", "1 while what the agent knows would survive it").set(
    status.registry.durable ? 1 : 0,
  );
  gauge("sluice_reports_queued", "Reports that wait for the server").set(status.report.queued);
  counter("sluice_reports_dropped_total", "Reports that were given up, for want of room").inc(status.report.dropped);

  if (status.guard !== undefined) guardMetrics(status.guard, gauge);
  const held = gauge("sluice_workload_held", "1 while the resource guard holds it back", "id", "by");
  for (const { id, held: hold } of status.workloads) if (hold !== undefined) held.set({ id, by: hold.by }, 1);

  const restarts = counter("sluice_workload_restarts_total", "Starts after the first one", "id");
  for (const { id, restarts: count } of status.workloads) restarts.inc({ id }, count);
  for (const { name, help, isCounter, read } of [...WORKLOAD_METRICS, ...TUNNEL_METRICS, ...SESSION_METRICS]) {
    const values = status.workloads.flatMap((workload) => {
      const value = read(workload);
      return value === undefined ? [] : [{ id: workload.id, value }];
    });
    if (isCounter) {
      const metric = counter(name, help, "id");
      for (const { id, value } of values) metric.inc({ id }, value);
    } else {
      const metric = gauge(name, help, "id");
      for (const { id, value } of values) metric.set({ id }, value);
    }
  }
  addGaps(status.workloads, counter);
  addSessions(status.workloads, gauge);
  return (await Promise.all(registers.map((registry) => registry.metrics()))).join("");
}

function guardMetrics(
  guard: NonNullable<AgentStatus["guard"]>,
  gauge: (name: string, help: string, ...labelNames: "root"[]) => Gauge<"root">,
): void {
  const { cpuPercent, memoryAvailableBytes, roots } = guard;
  if (cpuPercent !== undefined) {
    gauge("sluice_box_cpu_ratio", "Share of all processors in use over the last seconds").set(cpuPercent / 100);
  }
  if (memoryAvailableBytes !== undefined) {
    gauge("sluice_box_memory_available_bytes", "Memory that programs can still get").set(memoryAvailableBytes);
  }
  const free = gauge("sluice_recordings_free_bytes", "Free space below a file root", "root");
  const taken = gauge("sluice_recordings_bytes", "What streams have recorded below a file root", "root");
  const paused = gauge("sluice_recordings_paused", "1 while nothing is recorded below a file root", "root");
  for (const { root, freeBytes, recordedBytes, paused: reason } of roots) {
    if (freeBytes !== undefined) free.set({ root }, freeBytes);
    if (recordedBytes !== undefined) taken.set({ root }, recordedBytes);
    paused.set({ root }, reason === undefined ? 0 : 1);
  }
}

/** A stream has at most nine causes (`stream-ledger.ts`), so that its series have an end. */
function addGaps(
  workloads: readonly WorkloadStatus[],
  counter: <L extends string>(name: string, help: string, ...labelNames: L[]) => Counter<L>,
): void {
  const gaps = counter("sluice_workload_gaps_total", "Gaps in proven media that have ended", "id", "cause");
  const seconds = counter("sluice_workload_gap_seconds_total", "How long they were, together", "id", "cause");
  for (const { id, proof } of workloads) {
    for (const [cause, total] of Object.entries(proof?.byCause ?? {})) {
      gaps.inc({ id, cause }, total.count);
      seconds.inc({ id, cause }, total.seconds);
    }
  }
}

const WORKLOAD_METRICS: readonly WorkloadMetric[] = [
  {
    name: "sluice_workload_running",
    help: "1 while it does its work: media flows, the tunnel is proved, the session's ports accept",
    isCounter: false,
    read: ({ state }) => (state === "running" || state === "degraded" ? 1 : 0),
  },
  {
    name: "sluice_workload_media_bytes_total",
    help: "Bytes that this process has sent or written",
    isCounter: true,
    read: ({ media }) => media?.totalBytes,
  },
  {
    name: "sluice_workload_media_seconds_total",
    help: "Seconds of media that this process has sent or written",
    isCounter: true,
    read: ({ media }) => media?.outTimeSeconds,
  },
  {
    name: "sluice_workload_frames_total",
    help: "Frames that this process has sent or written",
    isCounter: true,
    read: ({ media }) => media?.frames,
  },
  {
    name: "sluice_workload_dropped_frames_total",
    help: "Frames that this process has dropped",
    isCounter: true,
    read: ({ media }) => media?.droppedFrames,
  },
  {
    name: "sluice_workload_expected_seconds_total",
    help: "Seconds since the first start in which media was expected; kept across agents and reboots",
    isCounter: true,
    read: ({ proof }) => proof?.expectedSeconds,
  },
  {
    // A gap is known some seconds after it began, and then these go back by as many: no counter.
    name: "sluice_workload_proven_seconds",
    help: "Seconds of them in which media was proved",
    isCounter: false,
    read: ({ proof }) => proof?.provenSeconds,
  },
  {
    name: "sluice_workload_open_gap_seconds",
    help: "For how long media has been missing; 0 while it flows",
    isCounter: false,
    read: ({ proof }) => {
      if (proof === undefined) return undefined;
      const last = proof.gaps.at(-1);
      return last === undefined || last.end !== undefined ? 0 : last.seconds;
    },
  },
  {
    name: "sluice_workload_fps",
    help: "Frames a second, over the last seconds",
    isCounter: false,
    read: ({ media }) => media?.fps,
  },
  {
    name: "sluice_workload_speed_ratio",
    help: "Media seconds a second; below 1 the stream falls behind",
    isCounter: false,
    read: ({ media }) => media?.speed,
  },
  {
    name: "sluice_workload_bitrate_bits",
    help: "Bits a second, over the last seconds",
    isCounter: false,
    read: ({ media }) => (media?.bitrateKbit === undefined ? undefined : media.bitrateKbit * 1000),
  },
  {
    name: "sluice_workload_cpu_ratio",
    help: "Share of one processor",
    isCounter: false,
    read: ({ cpuPercent }) => (cpuPercent === undefined ? undefined : cpuPercent / 100),
  },
  {
    name: "sluice_workload_memory_limit_bytes",
    help: "Memory that it may hold",
    isCounter: false,
    read: ({ limits }) => limits?.memoryBytes,
  },
  {
    name: "sluice_workload_cpu_limit_ratio",
    help: "Processors that it may use",
    isCounter: false,
    read: ({ limits }) => limits?.cpuCores,
  },
  {
    name: "sluice_workload_resident_memory_bytes",
    help: "Memory that it holds",
    isCounter: false,
    read: ({ rssBytes }) => rssBytes,
  },
];
