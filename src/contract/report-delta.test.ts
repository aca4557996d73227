import { expect, test } from "vitest";
import type { WorkloadStatus } from "./local-status.ts";
import { type Report, reportSchema } from "./report.ts";
import { applyDelta, deltaOf, reportDeltaSchema } from "./report-delta.ts";

const AT = "2026-01-15T10:30:45.000Z";

/** As an agent reports a stream that runs well, `tick` reports after it began. */
function calm(id: string, tick: number): WorkloadStatus {
  return {
    id,
    kind: "stream",
    name: `Camera ${id}`,
    description: `rtsp://10.0.0.7/${id} → rtmp://ingest.example/live/***`,
    state: "running",
    pid: 4242,
    generation: 3,
    restarts: 1,
    since: AT,
    media: {
      fps: 25,
      bitrateKbit: 2000 + (tick % 7),
      speed: 1,
      outTimeSeconds: tick * 15,
      totalBytes: tick * 3_750_000,
      frames: tick * 375,
      droppedFrames: 0,
    },
    proof: {
      since: AT,
      expectedSeconds: tick * 15,
      provenSeconds: tick * 15,
      percent: 100,
      gapCount: 1,
      byCause: { exited: { count: 1, seconds: 3 } },
      gaps: [{ start: AT, end: AT, seconds: 3, cause: "exited" }],
    },
    cpuPercent: 3 + (tick % 5) / 10,
    rssBytes: 52_000_000 + tick * 4096,
    priority: 50,
  };
}

function report(sequence: number, wish: Partial<Report> = {}): Report {
  return {
    version: 1,
    sequence,
    session: "s",
    sentAt: AT,
    boxId: "b",
    bootId: "boot",
    agentVersion: "0.1.0",
    verdict: "restart",
    applied: { epoch: "e", revision: 4 },
    link: { state: "live", endpoint: "https://hub/v1", since: AT, attempts: 0, connects: 1, events: 2, badEvents: {} },
    node: { cpuPercent: 10 + sequence, cores: 4, disks: [{ path: "/", totalBytes: 10, usedBytes: 5 }] },
    workloads: [calm("a", sequence), calm("b", sequence)],
    occurrences: [],
    dropped: 0,
    commandResults: [],
    ...wish,
  };
}

const overWire = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
/** By way of JSON and the schemas of both sides. */
function carried(base: Report, next: Report): Report | undefined {
  const delta = deltaOf(base, next);
  if (delta === undefined) return undefined;
  return applyDelta(reportSchema.parse(overWire(base)), reportDeltaSchema.parse(overWire(delta)));
}

const ended: WorkloadStatus = {
  ...calm("a", 2),
  state: "waiting",
  cause: "exited with 1",
  pid: undefined,
  lastExit: { at: AT, code: null, signal: "SIGKILL", class: "signalled" },
};

test.each<[string, Report, Report]>([
  ["counters move", report(1), report(2)],
  ["nothing but the sequence changes", report(1), { ...report(1), sequence: 2 }],
  ["a workload comes, one goes", report(1), report(2, { workloads: [calm("b", 2), calm("c", 2)] })],
  ["one fails, and loses fields", report(1), report(2, { workloads: [ended, calm("b", 2)] })],
  ["it is well again", report(1, { workloads: [ended, calm("b", 1)] }), report(2)],
  ["all go", report(1), report(2, { workloads: [], omittedWorkloads: 3 })],
  ["what was omitted is there", report(1, { omittedWorkloads: 1 }), report(2)],
  ["an incident begins", report(1), report(2, { incidents: [{ kind: "uplink", cause: "x", start: AT }] })],
  ["something happened", report(1), report(2, { occurrences: [{ at: AT, kind: "exit", text: "x" }], dropped: 2 })],
])("a delta stands for the whole report when %s", (_when, base, next) => {
  expect(carried(base, next)).toEqual(reportSchema.parse(overWire(next)));
});

test("another session, a doubled id and another order are for a whole report", () => {
  expect(deltaOf(report(1), report(2, { session: "t" }))).toBe(undefined);
  expect(deltaOf(report(1), report(2, { workloads: [calm("a", 2), calm("a", 2)] }))).toBe(undefined);
  expect(deltaOf(report(1), report(2, { workloads: [calm("b", 2), calm("a", 2)] }))).toBe(undefined);
});

test("a delta on another base, and one that makes no report, is none", () => {
  const delta = deltaOf(report(1), report(2));
  if (delta === undefined) throw new TypeError("there is a delta");
  expect(applyDelta(report(3), delta)).toBe(undefined);
  expect(applyDelta(report(1, { session: "t" }), delta)).toBe(undefined);
  expect(applyDelta(report(1), { ...delta, workloads: [{ id: "c", state: "running" }] })).toBe(undefined);
  expect(applyDelta(report(1), { ...delta, picture: { link: { state: "no such" } } })).toBe(undefined);
});

test("of a hundred calm streams a delta is less than half of the whole", () => {
  const streams = (tick: number) => Array.from({ length: 100 }, (_, index) => calm(`cam-${index}`, tick));
  const [base, next] = [report(40, { workloads: streams(40) }), report(41, { workloads: streams(41) })];
  const bytes = { whole: JSON.stringify(next).length, delta: JSON.stringify(deltaOf(base, next)).length };
  expect(bytes.delta / bytes.whole, JSON.stringify(bytes)).toBeLessThan(0.5);
});
