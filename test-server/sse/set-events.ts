import { isSessionCommand } from "../../src/contract/session-command.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { changeEvent, commandEvent, expectedEvent } from "../../src/hub/events/box-events.ts";
import { encodeEvent } from "../../src/hub/events/frame.ts";
import type { SentCommand } from "../state/command-book.ts";
import type { CatchUp, SetStep, Snapshot } from "../state/expected-set.ts";

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
    if (catchUp.kind === "snapshot") return [expectedEvent(snapshot)];
    return catchUp.changes.map((change) => changeEvent({ ...change, epoch: snapshot.epoch }));
  }
  const greeting = encodeEvent({ data: JSON.stringify({ type: "connection", message: "Connected to SSE" }) });
  if (form === "starts") return [greeting, ...snapshot.workloads.map(startEvent)];
  return [greeting, simpleSnapshotEvent(snapshot, false)];
}

/** What a connection hears of one step. `snapshot` is the set after it. */
export function eventsOfStep(form: EventForm, step: SetStep, snapshot: Snapshot): string[] {
  if (form === "typed") {
    const { epoch } = snapshot;
    return [
      step.kind === "snapshot"
        ? expectedEvent({ ...snapshot, confirm: step.confirm })
        : changeEvent({ ...step, epoch }),
    ];
  }
  if (step.kind === "change") return [...step.put.map(startEvent), ...step.remove.map(stopEvent)];
  if (form === "starts") return snapshot.workloads.map(startEvent);
  return [simpleSnapshotEvent(snapshot, step.confirm)];
}

/** The simple form has commands for sessions; any other goes out as it does to everybody. */
export function eventOfCommand(form: EventForm, command: SentCommand): string {
  const { id: commandId, name, args, deadlineMs } = command;
  if (form === "typed" || !isSessionCommand(name)) return commandEvent(command);
  const { spec, ...others } = args;
  const { id, ...session } = typeof spec === "object" && spec !== null && "id" in spec ? spec : { id: others["id"] };
  const deadline = new Date(deadlineMs).toISOString();
  const what = name === "StartSession" ? { session } : {};
  return encodeEvent({ data: JSON.stringify({ eventType: name, commandId, deadline, ...others, id, ...what }) });
}

/** All of a workload that the simple form can say: further outputs and raw arguments are not in it. */
export function simpleStart({ id, name, ...workload }: Workload): Record<string, unknown> {
  if (workload.kind === "tunnel") return { id, ...(name === undefined ? {} : { name }), tunnel: workload.spec };
  if (workload.kind === "session") {
    const { spec, power } = workload;
    return { id, ...(name === undefined ? {} : { name }), ...(power === undefined ? {} : { power }), session: spec };
  }
  const { video, audio, preview, via, input, outputs } = workload.spec;
  const given = { name, input: plainUrl(input), output: plainUrl(outputs[0]), video, audio, preview, via };
  return { id, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

/** An address without further fields is written as text, as home-made servers do. */
function plainUrl<End extends { readonly url: string }>(end: End | undefined): End | string | undefined {
  return end !== undefined && Object.keys(end).length === 1 ? end.url : end;
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
