import fc from "fast-check";
import { expect, test } from "vitest";
import type { WorkloadStatus } from "../../contract/local-status.ts";
import { type Report, reportSchema } from "../../contract/report.ts";
import { fitReport } from "./fit-report.ts";

const AT = "2026-01-15T10:30:45.000Z";

function workload(index: number, state: WorkloadStatus["state"]): WorkloadStatus {
  return {
    id: `cam-${index}`,
    kind: "stream",
    description: `rtsp://10.0.0.${index}/main → ${"x".repeat(300)}`,
    state,
    cause: "c".repeat(300),
    generation: 1,
    restarts: index,
    since: AT,
    lastExit: { at: AT, code: 1, signal: null, class: "network", evidence: "e".repeat(400) },
    media: { fps: 25, bitrateKbit: 4000 },
    proof: {
      since: AT,
      expectedSeconds: 10,
      provenSeconds: 9,
      percent: 90,
      gapCount: 5,
      byCause: {},
      gaps: Array.from({ length: 5 }, () => ({ start: AT, end: AT, seconds: 1, cause: "network" })),
    },
  };
}

const reportOf = (workloads: readonly WorkloadStatus[]): Report => ({
  version: 1,
  sequence: 1,
  session: "s",
  sentAt: AT,
  boxId: "north-1",
  bootId: "b",
  agentVersion: "0.1.0",
  verdict: "first",
  applied: {},
  link: { state: "live", endpoint: "", since: AT, attempts: 0, connects: 1, events: 1, badEvents: {} },
  workloads: [...workloads],
  occurrences: [],
  dropped: 0,
  commandResults: [],
});
const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

test("a report that fits is sent as it is", () => {
  const report = reportOf([workload(1, "running")]);
  expect(fitReport(report, 64 * 1024)).toBe(report);
});

test("a report is never larger than allowed, tells every workload or counts it, and the unwell ones first of all", () => {
  const states = fc.constantFrom<WorkloadStatus["state"]>("running", "stalled", "waiting", "starting");
  fc.assert(
    fc.property(fc.array(states, { maxLength: 60 }), fc.integer({ min: 2000, max: 60_000 }), (given, maxBytes) => {
      const report = reportOf(given.map((state, index) => workload(index, state)));
      const fitted = fitReport(report, maxBytes);
      expect(bytesOf(fitted)).toBeLessThanOrEqual(maxBytes);
      expect(reportSchema.safeParse(fitted).success).toBe(true);
      expect(fitted.workloads.length + (fitted.omittedWorkloads ?? 0)).toBe(given.length);
      const told = new Set(fitted.workloads.map(({ id }) => id));
      const isUnwell = ({ state }: WorkloadStatus) => state === "stalled" || state === "waiting";
      const lostUnwell = report.workloads.filter((one) => isUnwell(one) && !told.has(one.id));
      const keptWell = fitted.workloads.filter((one) => !isUnwell(one));
      expect(lostUnwell.length === 0 || keptWell.length === 0).toBe(true);
      for (const { id, state, restarts } of fitted.workloads) {
        expect({ state, restarts }).toEqual({ state: given[Number(id.slice(4))], restarts: Number(id.slice(4)) });
      }
    }),
  );
});
