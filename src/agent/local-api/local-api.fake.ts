import type { AgentStatus, CleanupResult, WorkloadStatus } from "../../contract/local-status.ts";
import type { LocalApiSource } from "./local-api-source.ts";

/** A source that keeps what it tells in memory, and counts what it is asked to do. */
export interface MemorySource extends LocalApiSource {
  current: AgentStatus;
  cleaned: CleanupResult;
  reconciles: number;
  readonly logFiles: Map<string, string>;
}

export function createMemorySource(): MemorySource {
  const source: MemorySource = {
    current: sampleStatus(),
    cleaned: { processes: [] },
    reconciles: 0,
    logFiles: new Map(),
    status: () => source.current,
    explain: (id) => {
      const status = source.current.workloads.find((workload) => workload.id === id);
      return status === undefined
        ? { id, because: [`Nothing expects ${id}, and nothing of it runs.`] }
        : { id, status, because: ["Expected by the server.", "FFmpeg exited with 1."] };
    },
    metrics: async () => `sluice_workloads ${source.current.workloads.length}\n`,
    reconcile: async () => {
      source.reconciles++;
      return { kept: 2, started: 1, stopped: 0 };
    },
    cleanup: async () => source.cleaned,
    touch: (id) => source.current.workloads.some((workload) => workload.id === id && workload.kind === "session"),
    place: async (_id, { port }) => ({ address: "127.0.0.1", port }),
    logFile: (id) => source.logFiles.get(id),
  };
  return source;
}

export function sampleWorkload(given: Partial<WorkloadStatus> = {}): WorkloadStatus {
  return {
    id: "cam-1",
    kind: "stream",
    description: "rtsp://cam/1 → rtmp://host/live/***",
    state: "running",
    pid: 4242,
    generation: 1,
    restarts: 0,
    since: "2026-01-15T10:30:45Z",
    media: { fps: 25, bitrateKbit: 1800, speed: 1 },
    ...given,
  };
}

export function sampleStatus(given: Partial<AgentStatus> = {}): AgentStatus {
  return {
    version: 1,
    agentVersion: "0.1.0",
    boxId: "north-1",
    pid: 77,
    startedAt: "2026-01-15T10:30:45Z",
    verdict: "restart",
    bootId: "b00t",
    link: {
      state: "live",
      endpoint: "http://hub/events",
      since: "2026-01-15T10:30:45Z",
      attempts: 0,
      connects: 1,
      events: 3,
      badEvents: {},
    },
    expected: { epoch: "e1", revision: 4, workloads: 1 },
    registry: { durable: true },
    report: { state: "ok", queued: 0, dropped: 0 },
    incidents: [],
    badInputs: {},
    workloads: [sampleWorkload()],
    ...given,
  };
}
