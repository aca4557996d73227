import type { Workload } from "../../contract/workload.ts";
import type { Awaiting } from "../workload/driver.ts";

/**
 * What a box remembers of sessions beside what it is told, because a hub that was put back to an earlier state knows less than the
 * box: neither what began since nor what ended since. Pure.
 */
export interface SessionMemory {
  /** Part of the expected set, though the hub's present memory does not know them: kept until it has said something of them. */
  readonly unclaimed: ReadonlySet<string>;
  /** Part of the expected set, and not started: a hub that forgot how they ended names them still. */
  readonly withheld: ReadonlySet<string>;
  /** Ended by a word of the server's, with the turn of their power then. The oldest first. */
  readonly stopped: ReadonlyMap<string, number>;
}

export const NO_SESSION_MEMORY: SessionMemory = { unclaimed: new Set(), withheld: new Set(), stopped: new Map() };

/** A hub that forgot more than so many stops at once starts the earliest of them again. */
export const STOPPED_KEPT = 500;

type Workloads = ReadonlyMap<string, Workload>;

/** A set that the hub names whole. */
export interface WholeSet {
  readonly workloads: Workloads;
  /** It belongs to another memory of the hub's than the set that is held. */
  readonly isNewMemory: boolean;
  /** The sender knows what it leaves out, and what it names. */
  readonly confirm: boolean;
}

/** What of the held set stays although `whole` leaves it out, and what of `whole` is not to be started. */
export function meetWholeSet(
  memory: SessionMemory,
  held: Workloads,
  { workloads, isNewMemory, confirm }: WholeSet,
): { readonly kept: readonly Workload[]; readonly withheld: readonly string[] } {
  if (confirm) return { kept: [], withheld: [] };
  const kept = [...held.values()].filter(
    ({ kind, id }) => kind === "session" && !workloads.has(id) && (isNewMemory || memory.unclaimed.has(id)),
  );
  const withheld = [...workloads.values()].flatMap((workload) => {
    const { id } = workload;
    // Told again in the same words it is no later word.
    if (memory.withheld.has(id)) return turnOf(workload) <= turnOf(held.get(id)) ? [id] : [];
    const endedAt = memory.stopped.get(id);
    return isNewMemory && !held.has(id) && endedAt !== undefined && turnOf(workload) <= endedAt ? [id] : [];
  });
  return { kept, withheld };
}

/** After an event: `unclaimed` and `withheld` are what it leaves open; who goes is remembered, who comes back is forgotten. */
export function rememberSessions(
  memory: SessionMemory,
  sets: { readonly before: Workloads; readonly after: Workloads },
  open: { readonly unclaimed: Iterable<string>; readonly withheld: Iterable<string> },
): SessionMemory {
  const { before, after } = sets;
  const unclaimed = new Set([...open.unclaimed].filter((id) => after.has(id)));
  const withheld = new Set([...open.withheld].filter((id) => after.has(id)));
  const gone = [...before.values()].filter(({ kind, id }) => kind === "session" && !after.has(id));
  const back = [...memory.stopped.keys()].filter((id) => after.has(id) && !withheld.has(id));
  if (
    gone.length === 0 &&
    back.length === 0 &&
    isSame(unclaimed, memory.unclaimed) &&
    isSame(withheld, memory.withheld)
  ) {
    return memory;
  }
  const stopped = new Map(memory.stopped);
  for (const id of back) stopped.delete(id);
  for (const workload of gone) {
    const turn = Math.max(turnOf(workload), stopped.get(workload.id) ?? 0);
    stopped.delete(workload.id);
    stopped.set(workload.id, turn);
  }
  return { unclaimed, withheld, stopped: new Map([...stopped].slice(-STOPPED_KEPT)) };
}

export function awaitsLaterWord(memory: SessionMemory, id: string): Awaiting | undefined {
  if (!memory.withheld.has(id)) return undefined;
  return {
    what: "a later word of the hub",
    holder: "hub",
    text: "waits for a later word of the hub: it was stopped here, and the hub names it from a memory in which it was not; start, wake or stop it there",
  };
}

function turnOf(workload: Workload | undefined): number {
  return workload?.kind === "session" ? (workload.power?.turn ?? 0) : 0;
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((id) => other.has(id));
}
