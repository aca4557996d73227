import { isDeepStrictEqual } from "node:util";
import { unmaskWorkload } from "../../contract/mask-workload.ts";
import type { WireEvent } from "../../contract/wire-event.ts";
import type { Workload } from "../../contract/workload.ts";
import { meetWholeSet, NO_SESSION_MEMORY, rememberSessions, type SessionMemory } from "./session-memory.ts";

/**
 * The set of workloads this box should run, and what is known about where it came from. Pure.
 *
 * Invariants:
 * - an event that was seen before changes nothing;
 * - a change applies only on the very revision before it; anything else asks for a fresh snapshot and changes nothing;
 * - a snapshot never stops more than half of the running workloads (and more than two) before its hold has ended,
 *   unless it says `confirm`;
 * - a workload that could not be parsed never displaces the one held under its id;
 * - a session that the hub's new memory does not know is kept, and one that ended in its old memory is not started again, until
 *   the hub says more of it.
 */
export interface ExpectedState {
  readonly epoch: string | undefined;
  readonly revision: number | undefined;
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly held: HeldRemovals | undefined;
  readonly sessions: SessionMemory;
}

/** Removals that wait because they would stop too much at once. The ids are still in `workloads`. */
export interface HeldRemovals {
  readonly ids: readonly string[];
  /** Monotonic. */
  readonly dueAtMs: number;
  readonly reason: string;
}

export interface ApplyContext {
  readonly nowMs: number;
  /** Ids of workloads that run at this moment. */
  readonly running: ReadonlySet<string>;
  readonly shrinkHoldMs: number;
}

export interface Applied {
  readonly state: ExpectedState;
  /** Set when the event cannot be applied: ask the server for the whole set, and say why. */
  readonly needsSnapshot: string | undefined;
}

export const EMPTY_EXPECTED: ExpectedState = {
  epoch: undefined,
  revision: undefined,
  workloads: new Map(),
  held: undefined,
  sessions: NO_SESSION_MEMORY,
};

/** Events that change no expectation are not for this function. */
export type ExpectationEvent = Exclude<WireEvent, { kind: "command" | "hold" | "ready" }>;

export function applyEvent(state: ExpectedState, event: ExpectationEvent, context: ApplyContext): Applied {
  switch (event.kind) {
    case "snapshot":
      if (event.epoch === state.epoch && state.revision !== undefined && event.revision < state.revision) {
        return unchanged(state);
      }
      return settled({ ...replaceAll(state, event, context), epoch: event.epoch, revision: event.revision });
    case "whole":
      return settled(replaceAll(state, { ...event, epoch: undefined }, context));
    case "change":
      return applyChange(state, event);
    case "start":
      return settled(edit(state, [event.workload], []));
    case "stop":
      return settled(edit(state, [], [event.workloadId]));
  }
}

/** Ends a session that the hub's present memory does not know. The same state for any other. */
export function endUnclaimed(state: ExpectedState, id: string): ExpectedState {
  return state.sessions.unclaimed.has(id) ? edit(state, [], [id]) : state;
}

/** Lets held removals happen once their time has come. */
export function releaseHeld(state: ExpectedState, nowMs: number): ExpectedState {
  if (state.held === undefined || state.held.dueAtMs > nowMs) return state;
  return edit(state, [], state.held.ids);
}

function applyChange(state: ExpectedState, change: Extract<WireEvent, { kind: "change" }>): Applied {
  if (state.revision === undefined || state.epoch === undefined) {
    return { state, needsSnapshot: `change ${change.revision} came before any snapshot` };
  }
  if (change.epoch !== undefined && change.epoch !== state.epoch) {
    return { state, needsSnapshot: `change ${change.revision} belongs to another epoch` };
  }
  if (change.revision <= state.revision) return unchanged(state);
  if (change.revision !== state.revision + 1) {
    return { state, needsSnapshot: `change ${change.revision} does not follow revision ${state.revision}` };
  }
  return settled({ ...edit(state, change.put, change.remove), revision: change.revision });
}

function replaceAll(
  state: ExpectedState,
  whole: Pick<Extract<WireEvent, { kind: "whole" }>, "workloads" | "rejected" | "confirm"> & {
    /** `undefined`: its sender has no memory that could be told from another. */
    readonly epoch: string | undefined;
  },
  context: ApplyContext,
): ExpectedState {
  const next = new Map(
    whole.workloads.map((workload) => [workload.id, merged(state.workloads.get(workload.id), workload)]),
  );
  for (const { id } of whole.rejected) {
    const kept = id === undefined ? undefined : state.workloads.get(id);
    if (kept !== undefined && !next.has(kept.id)) next.set(kept.id, kept);
  }
  const { epoch, confirm } = whole;
  const isNewMemory = epoch !== undefined && state.epoch !== undefined && epoch !== state.epoch;
  const met = meetWholeSet(state.sessions, state.workloads, {
    workloads: next,
    isNewMemory,
    confirm: confirm || epoch === undefined,
  });
  for (const workload of met.kept) next.set(workload.id, workload);
  const open = { unclaimed: met.kept.map(({ id }) => id), withheld: met.withheld };
  const removed = [...state.workloads.keys()].filter((id) => !next.has(id)).sort();
  const stopping = removed.filter((id) => context.running.has(id));
  const isShrink = stopping.length > 2 && stopping.length * 2 > context.running.size;
  if (confirm || !isShrink) return remembering(state, { ...state, workloads: next, held: undefined }, open);

  // A snapshot without readable ids may name any of them, so the guard keeps every workload that it leaves out.
  for (const id of removed) {
    const kept = state.workloads.get(id);
    if (kept !== undefined) next.set(id, kept);
  }
  const isSame = state.held !== undefined && state.held.ids.join("\n") === removed.join("\n");
  const held: HeldRemovals = {
    ids: removed,
    dueAtMs: isSame && state.held !== undefined ? state.held.dueAtMs : context.nowMs + context.shrinkHoldMs,
    reason: `a snapshot would stop ${stopping.length} of ${context.running.size} running workloads`,
  };
  return remembering(state, { ...state, workloads: next, held }, open);
}

function remembering(
  before: ExpectedState,
  after: ExpectedState,
  open: { readonly unclaimed: Iterable<string>; readonly withheld: Iterable<string> },
): ExpectedState {
  const sets = { before: before.workloads, after: after.workloads };
  return { ...after, sessions: rememberSessions(before.sessions, sets, open) };
}

/** What has not changed stays the same object, so that it need not be judged again. */
function merged(held: Workload | undefined, next: Workload): Workload {
  const whole = withHeldSecrets(held, next);
  return isDeepStrictEqual(held, whole) && held !== undefined ? held : whole;
}

/**
 * A mask in the place of a secret stands for the held one: it is sent by a hub that cannot read a tunnel's shared key any more, or
 * that learnt of a session from the box.
 */
function withHeldSecrets(held: Workload | undefined, next: Workload): Workload {
  if (held === undefined || held.kind !== next.kind || next.kind === "stream") return next;
  return unmaskWorkload(next, held).workload;
}

function edit(state: ExpectedState, put: readonly Workload[], remove: readonly string[]): ExpectedState {
  const workloads = new Map(state.workloads);
  for (const id of remove) workloads.delete(id);
  for (const workload of put) workloads.set(workload.id, merged(workloads.get(workload.id), workload));
  const touched = new Set([...remove, ...put.map(({ id }) => id)]);
  const ids = state.held?.ids.filter((id) => !touched.has(id)) ?? [];
  const held = state.held === undefined || ids.length === 0 ? undefined : { ...state.held, ids };
  const { unclaimed, withheld } = state.sessions;
  const untouched = (ids: ReadonlySet<string>) => [...ids].filter((id) => !touched.has(id));
  const open = { unclaimed: untouched(unclaimed), withheld: untouched(withheld) };
  return remembering(state, { ...state, workloads, held }, open);
}

function settled(state: ExpectedState): Applied {
  return { state, needsSnapshot: undefined };
}

function unchanged(state: ExpectedState): Applied {
  return settled(state);
}
