import { allocate, type Blocked, breakCircles } from "./allocate.ts";
import type { ExpectedWorkload, ObservedWorkload } from "./observed.ts";
import { decideUpdate } from "./update-plan.ts";

/**
 * What must happen so that a box runs what it should: the difference of two maps, as typed steps. Pure.
 * An empty plan means settled. A workload in a transition gets no step until the transition ends.
 */

export type StopReason =
  | "not-expected"
  | "refused"
  | "changed"
  | "unhealthy"
  /** The box has no room for it. */
  | "shed"
  /** It sleeps: what it needs to wake is kept. */
  | "hibernated"
  /** It has had its time. */
  | "ended"
  /** Its successor has taken over. */
  | "replaced"
  /** A person has asked for the end of its process (`sluice cleanup`). */
  | "cleaned"
  /** A successor that another one, or none, is wanted instead of. */
  | "superseded"
  /** A successor that did not prove its media in time. */
  | "unproven";

export type Step =
  | { readonly kind: "stop"; readonly id: string; readonly reason: StopReason }
  /** Stop its successor. */
  | { readonly kind: "abandon"; readonly id: string; readonly reason: StopReason }
  /** Its successor takes over, and it ends. */
  | { readonly kind: "promote"; readonly id: string }
  | { readonly kind: "start"; readonly id: string; readonly isChanged: boolean }
  /** Start its successor beside it. */
  | { readonly kind: "succeed"; readonly id: string }
  /** Nothing of it runs and nothing expects it. */
  | { readonly kind: "forget"; readonly id: string };

export interface Plan {
  /** What ends before what begins, each in the order of ids. */
  readonly steps: readonly Step[];
  /** Expected, running and left alone, or being updated while they run. */
  readonly kept: readonly string[];
  /** Expected, and waiting for something that another has. */
  readonly blocked: ReadonlyMap<string, Blocked>;
  /** When the next waiting workload or a successor's time falls due, where one does. */
  readonly nextDueAtMs: number | undefined;
}

export function planReconcile(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
  nowMs: number,
): Plan {
  // Who has given way, sleeps or has ended claims nothing.
  const present = new Map([...expected].filter(([, wanted]) => absenceOf(wanted) === undefined));
  const { blocked } = allocate(observed, present.size === expected.size ? expected : present);
  const yielding = breakCircles(blocked);
  const draft: Draft = { stops: [], starts: [], kept: [], nextDueAtMs: Number.POSITIVE_INFINITY, nowMs };

  for (const id of [...observed.keys()].sort()) {
    const seen = observed.get(id);
    const wanted = expected.get(id);
    if (seen === undefined || (wanted !== undefined && !wanted.isRefused)) continue;
    if (wanted === undefined && seen.isUnexplained === true) continue;
    planEnd(draft, { id, seen, reason: wanted === undefined ? "not-expected" : "refused" });
  }
  for (const [id, wanted] of expected) {
    if (wanted.isRefused) continue;
    const block = blocked.get(id);
    const seen = observed.get(id);
    const absence = absenceOf(wanted);
    if (absence !== undefined) {
      if (seen !== undefined) planStop(draft, { id, seen, reason: absence });
      continue;
    }
    if (seen === undefined) {
      if (block === undefined) draft.starts.push({ kind: "start", id, isChanged: false });
      continue;
    }
    planKept(draft, { id, seen, wanted, blocked: block, mustYield: yielding.has(id) });
  }
  const { stops, starts, kept, nextDueAtMs } = draft;
  return {
    steps: [...stops.sort(byId), ...starts.sort(byId)],
    kept: kept.sort(),
    blocked,
    nextDueAtMs: Number.isFinite(nextDueAtMs) ? nextDueAtMs : undefined,
  };
}

/** Why it does not run although it is expected. */
function absenceOf({ rest, isShed }: ExpectedWorkload): StopReason | undefined {
  return rest ?? (isShed === true ? "shed" : undefined);
}

function byId(one: Step, other: Step): number {
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}

interface Draft {
  readonly stops: Step[];
  readonly starts: Step[];
  readonly kept: string[];
  nextDueAtMs: number;
  readonly nowMs: number;
}

interface End {
  readonly id: string;
  readonly seen: ObservedWorkload;
  readonly reason: StopReason;
}

/** Nothing of it may go on, and nothing is to be remembered of it. */
function planEnd(draft: Draft, end: End): void {
  const { id, seen } = end;
  planStop(draft, end);
  if (seen.phase === "waiting" && seen.successor === undefined && seen.predecessor === undefined) {
    draft.stops.push({ kind: "forget", id });
  }
}

function planStop(draft: Draft, { id, seen, reason }: End): void {
  const { successor } = seen;
  if (successor?.phase === "running" || successor?.phase === "launching") {
    draft.stops.push({ kind: "abandon", id, reason });
  }
  if (seen.phase === "running" || seen.phase === "launching") draft.stops.push({ kind: "stop", id, reason });
}

interface Kept {
  readonly id: string;
  readonly seen: ObservedWorkload;
  readonly wanted: ExpectedWorkload;
  readonly blocked: Blocked | undefined;
  readonly mustYield: boolean;
}

function planKept(draft: Draft, { id, seen, wanted, blocked, mustYield }: Kept): void {
  const isChanged = seen.specHash !== wanted.specHash;
  const { successor } = seen;
  switch (seen.phase) {
    case "running":
    case "launching":
      if (isChanged) {
        planUpdate(draft, { id, seen, wanted, blocked, mustYield });
        return;
      }
      if (successor?.phase === "running" || successor?.phase === "launching") {
        draft.stops.push({ kind: "abandon", id, reason: "superseded" });
      }
      if (seen.fault !== undefined) draft.stops.push({ kind: "stop", id, reason: "unhealthy" });
      else draft.kept.push(id);
      return;
    case "waiting":
      planWaiting(draft, { id, seen, wanted, isBlocked: blocked !== undefined });
      return;
    case "stopping":
    case "unkillable":
      return;
  }
}

function planUpdate(draft: Draft, { id, seen, wanted, blocked, mustYield }: Kept): void {
  const decision = decideUpdate(seen, wanted, { nowMs: draft.nowMs, blocked, mustYield });
  switch (decision.do) {
    case "replace":
      draft.stops.push({ kind: "stop", id, reason: "changed" });
      return;
    case "succeed":
      draft.starts.push({ kind: "succeed", id });
      break;
    case "promote":
      draft.stops.push({ kind: "promote", id });
      break;
    case "abandon":
      draft.stops.push({ kind: "abandon", id, reason: decision.reason });
      break;
    case "wait":
      draft.nextDueAtMs = Math.min(draft.nextDueAtMs, decision.untilMs ?? Number.POSITIVE_INFINITY);
      break;
  }
  draft.kept.push(id);
}

function planWaiting(
  draft: Draft,
  { id, seen, wanted, isBlocked }: Pick<Kept, "id" | "seen" | "wanted"> & { readonly isBlocked: boolean },
): void {
  const { successor } = seen;
  if (successor !== undefined) {
    // It ended while its successor was on the way: nothing is left to wait for.
    if (successor.phase === "running" || successor.phase === "launching") {
      if (successor.specHash === wanted.specHash) draft.stops.push({ kind: "promote", id });
      else draft.stops.push({ kind: "abandon", id, reason: "superseded" });
    }
    return;
  }
  const isChanged = seen.specHash !== wanted.specHash;
  const isDue = isChanged || seen.dueAtMs === undefined || seen.dueAtMs <= draft.nowMs;
  if (!isDue) draft.nextDueAtMs = Math.min(draft.nextDueAtMs, seen.dueAtMs);
  // A changed workload deserves a fresh try at once: whatever failed before was another spec.
  else if (!isBlocked) draft.starts.push({ kind: "start", id, isChanged });
}
