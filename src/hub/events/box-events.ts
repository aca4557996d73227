import type { Workload } from "../../contract/workload.ts";
import { encodeEvent } from "./frame.ts";

/** The events that a box understands, as bytes for the wire (docs/protocol.md). */

export interface WholeSet {
  readonly epoch: string;
  readonly revision: number;
  readonly workloads: readonly Workload[];
  /** The sender knows that this may stop much. */
  readonly confirm?: boolean;
}

export interface SetChange {
  readonly epoch: string;
  readonly revision: number;
  readonly put: readonly Workload[];
  readonly remove: readonly string[];
}

export function expectedEvent({ epoch, revision, workloads, confirm = false }: WholeSet): string {
  const data = JSON.stringify({ epoch, revision, workloads, ...(confirm ? { confirm } : {}) });
  return encodeEvent({ event: "expected", id: `${epoch}.${revision}`, data });
}

export function changeEvent({ epoch, revision, put, remove }: SetChange): string {
  return encodeEvent({
    event: "change",
    id: `${epoch}.${revision}`,
    data: JSON.stringify({ revision, put, remove }),
  });
}

export interface BoxCommand {
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  /** Wall time in milliseconds. */
  readonly deadlineMs: number;
}

/** Without an id of the stream: a cursor must not pass it unseen, and it must not come back with a replay. */
export function commandEvent({ id, name, args, deadlineMs }: BoxCommand): string {
  const data = JSON.stringify({ id, name, args, deadline: new Date(deadlineMs).toISOString() });
  return encodeEvent({ event: "command", data });
}

/** The first event of a connection whose cursor is at the end: an agent resets its back-off by an event only. */
export function readyEvent(cursor: string): string {
  return encodeEvent({ event: "ready", id: cursor, data: "{}" });
}

/** The first event of a box that must wait: it is known, nothing is asked of it, and what it runs stays as it is. */
export function holdEvent(reason: string): string {
  return encodeEvent({ event: "hold", data: JSON.stringify({ reason }) });
}

/** The time before which the other side must not come back, for each of its later attempts. */
export function retryLine(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}
