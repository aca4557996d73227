import type { Claim } from "../workload/driver.ts";
import { type ExpectedWorkload, type ObservedWorkload, processesOf } from "./observed.ts";

/**
 * Who may use what. Pure. Everything that serves one at a time has one holder: the workload that has a process which uses
 * it; where none has, one that was started before; else the one that was expected first. A workload that cannot have all it
 * claims takes none of it.
 */
export interface Allocation {
  /** Expected workloads that must wait for another, or for an earlier process of their own. */
  readonly blocked: ReadonlyMap<string, Blocked>;
}

/** What a workload waits for, and who has it. */
export interface Blocked {
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
  for (const [id, wanted] of inOrder(observed, expected)) {
    const seen = observed.get(id);
    const isSettled = seen !== undefined && seen.phase !== "waiting" && seen.specHash === wanted.specHash;
    const block = isSettled ? undefined : findBlock(id, wanted, { seen, held, reserved });
    if (block !== undefined) blocked.set(id, block);
    else for (const { key } of wanted.claims ?? []) if (!reserved.has(key)) reserved.set(key, id);
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

function findBlock(
  id: string,
  { claims = [] }: ExpectedWorkload,
  {
    seen,
    held,
    reserved,
  }: { seen: ObservedWorkload | undefined; held: HeldKeys; reserved: ReadonlyMap<string, string> },
): Blocked | undefined {
  for (const claim of claims) {
    const other = [...(held.get(claim.key) ?? [])].find((holder) => holder !== id);
    if (other !== undefined) return { claim, holder: other, isHeld: true };
    // What its own process holds is in its way only once that process is not the one to be replaced.
    if (seen?.phase === "waiting" && held.get(claim.key)?.has(id)) return { claim, holder: id, isHeld: true };
    const ahead = reserved.get(claim.key);
    if (ahead !== undefined && ahead !== id) return { claim, holder: ahead, isHeld: false };
  }
  return undefined;
}

type HeldKeys = ReadonlyMap<string, ReadonlySet<string>>;

function heldKeys(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
): HeldKeys {
  const held = new Map<string, Set<string>>();
  for (const [id, seen] of observed) {
    for (const { holds, specHash } of processesOf(seen)) {
      const wanted = expected.get(id);
      const keys = holds ?? (wanted?.specHash === specHash ? wanted.claims?.map(({ key }) => key) : undefined) ?? [];
      for (const key of keys) held.set(key, (held.get(key) ?? new Set()).add(id));
    }
  }
  return held;
}

/** Who was started before comes before who was not, so that a restart loses nothing; each in the order of expectation. */
function inOrder(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
): readonly (readonly [string, ExpectedWorkload])[] {
  const all = [...expected].filter(([, { isRefused }]) => !isRefused);
  return [...all.filter(([id]) => observed.has(id)), ...all.filter(([id]) => !observed.has(id))];
}
