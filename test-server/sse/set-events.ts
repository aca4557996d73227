import type { Workload } from "../../src/contract/workload.ts";
import type { CatchUp, SetStep, Snapshot } from "../state/expected-set.ts";
import { encodeEvent } from "./frame.ts";

/**
 * How a connection is spoken to:
 * - `typed`: `expected` and `change` with ids;
 * - `simple`: a home-made server: `eventType` start, stop and snapshot, no ids;
 * - `starts`: a poorer one, which has no snapshot and repeats its starts after each connect.
 */
export const EVENT_FORMS = ["typed", "simple", "starts"] as const;
export type EventForm = (typeof EVENT_FORMS)[number];

/** What a connection hears first. */
export function eventsOnConnect(form: EventForm, catchUp: CatchUp, snapshot: Snapshot): string[] {
  if (form === "typed") {
    if (catchUp.kind === "snapshot") return [expectedEvent(snapshot, false)];
    return catchUp.changes.map((change) => changeEvent(snapshot.epoch, change));
  }
  const greeting = encodeEvent({ data: JSON.stringify({ type: "connection", message: "Connected to SSE" }) });
  if (form === "starts") return [greeting, ...snapshot.workloads.map(startEvent)];
  return [greeting, simpleSnapshotEvent(snapshot, false)];
}

/** What a connection hears of one step. `snapshot` is the set after it. */
export function eventsOfStep(form: EventForm, step: SetStep, snapshot: Snapshot): string[] {
  if (form === "typed") {
    return [step.kind === "snapshot" ? expectedEvent(snapshot, step.confirm) : changeEvent(snapshot.epoch, step)];
  }
  if (step.kind === "change") return [...step.put.map(startEvent), ...step.remove.map(stopEvent)];
  if (form === "starts") return snapshot.workloads.map(startEvent);
  return [simpleSnapshotEvent(snapshot, step.confirm)];
}

function expectedEvent({ epoch, revision, workloads }: Snapshot, confirm: boolean): string {
  const data = JSON.stringify({ epoch, revision, workloads, ...(confirm ? { confirm } : {}) });
  return encodeEvent({ event: "expected", id: `${epoch}.${revision}`, data });
}

function changeEvent(epoch: string, change: Extract<SetStep, { kind: "change" }>): string {
  const data = JSON.stringify({ revision: change.revision, put: change.put, remove: change.remove });
  return encodeEvent({ event: "change", id: `${epoch}.${change.revision}`, data });
}

/** The simple form has one input and one output: what else a spec says is not in it. */
export function simpleStart(workload: Workload): { id: string; input: string; output: string } {
  return { id: workload.id, input: workload.spec.input.url, output: workload.spec.outputs[0]?.url ?? "" };
}

function startEvent(workload: Workload): string {
  return encodeEvent({ data: JSON.stringify({ eventType: "start", ...simpleStart(workload) }) });
}

function stopEvent(id: string): string {
  return encodeEvent({ data: JSON.stringify({ eventType: "stop", id }) });
}

function simpleSnapshotEvent(snapshot: Snapshot, confirm: boolean): string {
  const streams = snapshot.workloads.map(simpleStart);
  return encodeEvent({ data: JSON.stringify({ eventType: "snapshot", streams, ...(confirm ? { confirm } : {}) }) });
}
