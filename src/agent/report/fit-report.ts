import type { WorkloadStatus } from "../../contract/local-status.ts";
import type { Report } from "../../contract/report.ts";

/** What a hub takes is more; a uplink that media needs is spared. */
export const MAX_REPORT_BYTES = 1024 * 1024;
export const MIN_REPORT_BYTES = 64 * 1024;

const LONG_TEXT_CHARACTERS = 120;
const UNWELL: ReadonlySet<WorkloadStatus["state"]> = new Set([
  "degraded",
  "stalled",
  "refused",
  "unkillable",
  "waiting",
]);

/** Pure. One way to say less of a workload; each leaves what the ones before it left out as it was. */
const REDUCTIONS: readonly ((workload: WorkloadStatus) => WorkloadStatus)[] = [
  ({ proof, ...rest }) => (proof === undefined ? rest : { ...rest, proof: { ...proof, gaps: [] } }),
  ({ lastExit, description, cause, ...rest }) => ({
    ...rest,
    description: description.slice(0, LONG_TEXT_CHARACTERS),
    ...(cause === undefined ? {} : { cause: cause.slice(0, LONG_TEXT_CHARACTERS) }),
    ...(lastExit === undefined ? {} : { lastExit: { ...lastExit, evidence: undefined } }),
  }),
  ({ id, kind, state, fault, generation, restarts, since, tunnel, session }) => ({
    id,
    kind,
    description: "",
    state,
    ...(fault === undefined ? {} : { fault }),
    generation,
    restarts,
    since,
    // A hub cannot link the two ends without it.
    ...(tunnel === undefined ? {} : { tunnel: { ...tunnel, proof: undefined } }),
    // Nor tell what has become of a wish.
    ...(session === undefined ? {} : { session: { ...session, idle: undefined, unclaimed: undefined } }),
  }),
];

/**
 * The report in at most `maxBytes` of JSON: first less is said of each workload, then workloads are left out, those that are
 * well before the others, and counted. What else it holds is bounded where it comes from.
 */
export function fitReport(report: Report, maxBytes: number): Report {
  let fitted = report;
  for (const reduce of REDUCTIONS) {
    if (bytesOf(fitted) <= maxBytes) return fitted;
    fitted = { ...fitted, workloads: fitted.workloads.map(reduce) };
  }
  const excess = bytesOf(fitted) - maxBytes;
  return excess <= 0 ? fitted : leaveOut(fitted, excess);
}

function leaveOut(report: Report, excess: number): Report {
  const wellFirst = [...report.workloads].sort((one, other) => Number(isUnwell(one)) - Number(isUnwell(other)));
  const out = new Set<string>();
  let freed = -`,"omittedWorkloads":${report.workloads.length}`.length;
  for (const workload of wellFirst) {
    if (freed >= excess) break;
    out.add(workload.id);
    freed += bytesOf(workload) + 1;
  }
  const workloads = report.workloads.filter(({ id }) => !out.has(id));
  return { ...report, workloads, omittedWorkloads: out.size };
}

function isUnwell({ state }: WorkloadStatus): boolean {
  return UNWELL.has(state);
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
