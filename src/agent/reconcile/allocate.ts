import type { Awaiting, Claim } from "../workload/driver.ts";
import type { ExpectedWorkload, ObservedProcess, ObservedWorkload } from "./observed.ts";

/**
 * Who may use what. Pure. Everything that serves one at a time has one holder: the workload that has a process which uses
 * it; where none has, one that was started before; else the one that was expected first. A workload that cannot have all it
 * claims takes none of it.
 */
export interface Allocation {
  /** Expected workloads that must wait for another, or for an earlier process of their own. */
  readonly blocked: ReadonlyMap<string, Blocked>;
}

/** What a workload waits for, and who has it or must bring it. */
export type Blocked = Taken | Awaiting;

export interface Taken {
  readonly claim: Claim;
  /** Id of the workload that has it; its own, where an earlier process of it has not gone yet. */
  readonly holder: string;
  /** The holder has a process; false: it is only ahead in the queue. */
  readonly isHeld: boolean;
}

export function allocate(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
): Allocation {
  const held = heldKeys(observed, expected);
  const reserved = new Map<string, string>();
  const blocked = new Map<string, Blocked>();
  const place = (id: string, wanted: ExpectedWorkload, seen: ObservedWorkload | undefined) => {
    // Who waits for something else takes nothing meanwhile.
    const isSettled = seen !== undefined && seen.phase !== "waiting" && seen.specHash === wanted.specHash;
    const block = isSettled ? undefined : (wanted.awaits ?? findBlock(id, wanted, { seen, held, reserved }));
    if (block !== undefined) blocked.set(id, block);
    else for (const { key } of wanted.claims ?? []) if (!held.has(key) && !reserved.has(key)) reserved.set(key, id);
  };
  // Who was started before comes before who was not, so that a restart loses nothing.
  for (const isStarted of [true, false]) {
    for (const [id, wanted] of expected) {
      const seen = observed.get(id);
      if (!wanted.isRefused && isStarted === (seen !== undefined)) place(id, wanted, seen);
    }
  }
  return { blocked };
}

/**
 * Workloads that wait for one another in a circle, each still holding what the next one wants: of each circle the one
 * with the lowest id, which must let go first.
 */
export function breakCircles(blocked: ReadonlyMap<string, Blocked>): ReadonlySet<string> {
  const first = new Set<string>();
  for (const start of blocked.keys()) {
    const circle = [start];
    let next = blocked.get(start)?.holder;
    while (next !== undefined && !circle.includes(next)) {
      circle.push(next);
      next = blocked.get(next)?.holder;
    }
    if (next === start && circle.length > 1 && circle.every((id) => id >= start)) first.add(start);
  }
  return first;
}

interface Others {
  readonly seen: ObservedWorkload | undefined;
  readonly held: HeldKeys;
  readonly reserved: ReadonlyMap<string, string>;
}

function findBlock(
  id: string,
  { claims = [] }: ExpectedWorkload,
  { seen, held, reserved }: Others,
): Blocked | undefined {
  for (const claim of claims) {
    const holders = held.get(claim.key);
    const other = typeof holders === "string" ? holders : holders?.find((holder) => holder !== id);
    if (other !== undefined && other !== id) return { claim, holder: other, isHeld: true };
    // What its own process holds is in its way only once that process is not the one to be replaced.
    if (seen?.phase === "waiting" && holders !== undefined) return { claim, holder: id, isHeld: true };
    const ahead = reserved.get(claim.key);
    if (ahead !== undefined && ahead !== id) return { claim, holder: ahead, isHeld: false };
  }
  return undefined;
}

/** The id that holds a key; a list only where several do, which is seldom: a lap looks at thousands. */
type HeldKeys = ReadonlyMap<string, string | readonly string[]>;

function heldKeys(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
): HeldKeys {
  const held = new Map<string, string | readonly string[]>();
  const hold = (key: string, id: string) => {
    const known = held.get(key);
    held.set(key, known === undefined || known === id ? id : [...(typeof known === "string" ? [known] : known), id]);
  };
  const holdAll = (id: string, { phase, holds, specHash }: ObservedProcess) => {
    if (phase === "waiting") return;
    if (holds !== undefined) for (const key of holds) hold(key, id);
    else {
      const wanted = expected.get(id);
      if (wanted?.specHash === specHash) for (const { key } of wanted.claims ?? []) hold(key, id);
    }
  };
  for (const [id, seen] of observed) {
    holdAll(id, seen);
    if (seen.successor !== undefined) holdAll(id, seen.successor);
    if (seen.predecessor !== undefined) holdAll(id, seen.predecessor);
  }
  return held;
}
