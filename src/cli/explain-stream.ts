import type { BoxView } from "../contract/fleet/box-view.ts";
import type { FleetWorkloadView } from "../contract/fleet/expected-view.ts";
import { formatAge, formatDuration } from "./duration.ts";

export interface StreamFacts {
  readonly box: BoxView;
  readonly stream: FleetWorkloadView;
  /** Wall time. */
  readonly nowMs: number;
}

/**
 * Sentences in the order in which a person asks: who wants it, does the box hear us, has it taken it over, what stands in its
 * way, what runs, what ended it last, what happens next.
 */
export function explainStream({ box, stream, nowMs }: StreamFacts): string[] {
  const { status, desired } = stream;
  const ago = (iso: string) => `${formatAge(iso, nowMs) ?? iso} ago`;
  const because = [wantedBy(stream), ...standingOf(box, ago)];
  if (desired === "hibernated") {
    because.push("It is hibernated: its place is kept and nothing of it runs, until sluice stream wake.");
    return because;
  }
  because.push(takenOver(box));
  for (const { kind, cause, start } of box.incidents) {
    because.push(`An incident hits the whole box for ${formatAge(start, nowMs) ?? start}: ${kind}, ${cause}.`);
  }
  if (status === undefined) {
    because.push("The box has said nothing of this stream yet.");
    return because;
  }
  const age = formatAge(status.since, nowMs);
  because.push(
    `It is ${status.state}${age === undefined ? "" : ` for ${age}`}${status.cause === undefined ? "" : `: ${status.cause}`}.`,
  );
  if (status.fault !== undefined)
    because.push(`What fails is called ${status.fault} (docs/operations.md says what to do).`);
  const exit = status.lastExit;
  if (exit !== undefined) {
    const how = exit.signal === null ? `status ${exit.code ?? "unknown"}` : exit.signal;
    const evidence = exit.evidence === undefined ? "" : `; its own words: ${exit.evidence}`;
    because.push(`Its last process ended ${ago(exit.at)} by ${exit.class} (${how})${evidence}.`);
  }
  if (status.nextStartInSeconds !== undefined) {
    because.push(`When the box last reported, the next start was due in ${formatDuration(status.nextStartInSeconds)}.`);
  }
  if (status.proof !== undefined && status.proof.gapCount > 0) {
    const last = status.proof.gaps.at(-1);
    const cause = last === undefined ? "" : `; the last began ${ago(last.start)}: ${last.cause}`;
    because.push(
      `Media was proved for ${status.proof.percent} % of the time, with ${status.proof.gapCount} gaps${cause}.`,
    );
  }
  return because;
}

function wantedBy({ owner, box }: FleetWorkloadView): string {
  if (owner === undefined) return `It was put on ${box} by hand or from a file.`;
  return `${owner} placed it on ${box}: sluice rollout show ${owner.replace(/^rollout\//, "")}.`;
}

function standingOf(box: BoxView, ago: (iso: string) => string): string[] {
  if (box.state === "pending")
    return [`${box.id} waits to be approved: it is sent nothing (sluice box approve ${box.id}).`];
  if (box.state === "revoked") return [`${box.id} is revoked: it is sent nothing, and keeps what it was last told.`];
  const told: string[] = [];
  if (box.quarantine !== undefined) {
    told.push(`${box.id} is quarantined: ${box.quarantine.reason} (sluice box release ${box.id}).`);
  }
  if (box.draining) told.push(`${box.id} is draining.`);
  if (box.connection === "never") told.push(`${box.id} has never been heard.`);
  else if (box.connection !== "online") {
    const last = box.lastContactAt === undefined ? "" : `; it was last heard ${ago(box.lastContactAt)}`;
    const rest = box.connection === "offline" ? " What follows is what it said then." : "";
    told.push(`${box.id} is ${box.connection}${last}.${rest}`);
  }
  return told;
}

function takenOver({ id, applied, expectedRevision }: BoxView): string {
  if (applied?.revision === undefined) return `${id} has not said that it took over anything yet.`;
  if (applied.revision === expectedRevision) return `${id} has taken over everything that is expected of it.`;
  return `${id} has taken over revision ${applied.revision}; expected is ${expectedRevision}.`;
}
