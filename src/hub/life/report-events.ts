import type { Report } from "../../contract/report.ts";
import type { WorkloadState } from "../../contract/workload.ts";
import type { NewEvent } from "../store/event-log.ts";

/** Of one report. A box on which everything changes at once is told by its counts. */
const MAX_WORKLOAD_EVENTS = 20;

/**
 * Pure. What people should hear of a report, against the one before it: `box.rebooted` (another boot), `box.restarted` (another
 * agent process in the same boot), `box.incident`, `workload.state`. A box that only was away comes back with neither.
 */
export function eventsOf(boxId: string, held: Report | undefined, report: Report): readonly NewEvent[] {
  return [...startOf(boxId, held, report), ...incidentsOf(boxId, report), ...workloadsOf(boxId, held, report)];
}

function startOf(boxId: string, held: Report | undefined, report: Report): readonly NewEvent[] {
  if (held?.session === report.session) return [];
  const { bootId, verdict, agentVersion } = report;
  const data = { verdict, bootId, agentVersion };
  if (held === undefined) {
    return [{ kind: "box.first-report", boxId, text: `${boxId} reports for the first time (${agentVersion})`, data }];
  }
  const upgraded = held.agentVersion === agentVersion ? "" : ` with version ${agentVersion}`;
  return held.bootId === bootId
    ? [{ kind: "box.restarted", boxId, text: `the agent of ${boxId} was started again${upgraded}`, data }]
    : [{ kind: "box.rebooted", boxId, text: `${boxId} was booted${upgraded}`, data }];
}

function incidentsOf(boxId: string, report: Report): readonly NewEvent[] {
  return report.occurrences.flatMap(({ incident, text }): NewEvent[] =>
    incident === undefined
      ? []
      : [{ kind: "box.incident", boxId, text, data: { kind: incident.kind, isOver: incident.end !== undefined } }],
  );
}

function workloadsOf(boxId: string, held: Report | undefined, report: Report): readonly NewEvent[] {
  if (held === undefined) return [];
  const before = new Map(held.workloads.map(({ id, state }) => [id, state]));
  const changed = report.workloads.filter(({ id, state }) => before.get(id) !== state);
  if (changed.length > MAX_WORKLOAD_EVENTS) {
    const text = `${changed.length} workloads of ${boxId} changed their state`;
    return [{ kind: "workload.states", boxId, text, data: countStates(report) }];
  }
  return changed.map(({ id, state, cause }) => ({
    kind: "workload.state",
    boxId,
    workloadId: id,
    text: `${id} on ${boxId} is ${state}${cause === undefined ? "" : `: ${cause}`}`,
    data: { from: before.get(id), to: state },
  }));
}

function countStates({ workloads }: Report): Readonly<Record<string, number>> {
  const counts = new Map<WorkloadState, number>();
  for (const { state } of workloads) counts.set(state, (counts.get(state) ?? 0) + 1);
  return Object.fromEntries(counts);
}
