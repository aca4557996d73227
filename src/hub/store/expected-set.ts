import { AppError } from "../../base/errors.ts";
import { isSameJson } from "../../base/same-json.ts";
import type { Workload } from "../../contract/workload.ts";

/** What a box should run. */
export interface ExpectedSet {
  readonly boxId: string;
  /** New when revisions start afresh; a cursor of another epoch leads to the whole set. */
  readonly epoch: string;
  /** Grows by one with each change; 0 for a set that nobody has touched. */
  readonly revision: number;
  /** In the order of their ids. */
  readonly entries: readonly ExpectedEntry[];
}

export interface ExpectedEntry {
  readonly workload: Workload;
  /** Who put it there: `rollout/doors`; `undefined` for a person. One owner's change never touches another's entry. */
  readonly owner?: string | undefined;
  /** `hibernated`: its resources are released and its place is kept. */
  readonly desired: "running" | "hibernated";
}

/** From one revision to the next. */
export interface ExpectedChange {
  readonly put?: readonly ExpectedEntry[] | undefined;
  /** Ids of workloads. One that is not there is no error: it is already as asked. */
  readonly remove?: readonly string[] | undefined;
  /** Whose entries these are; entries of anyone else that it would touch are a `conflict`. */
  readonly owner?: string | undefined;
  /** Touches any owner's entries, and makes those that it puts its own. */
  readonly takeOver?: boolean | undefined;
}

/** What really differs: only that is written and told. */
export interface ExpectedDiff {
  readonly put: readonly ExpectedEntry[];
  readonly remove: readonly string[];
}

/** The step from `revision - 1` to `revision`. */
export interface LoggedChange extends ExpectedDiff {
  readonly revision: number;
  readonly atMs: number;
}

/** Pure. `conflict` where the change touches an entry of another owner. */
export function decideChange(entries: readonly ExpectedEntry[], asked: ExpectedChange): ExpectedDiff {
  const held = new Map(entries.map((entry) => [entry.workload.id, entry]));
  const put = new Map((asked.put ?? []).map((entry) => [entry.workload.id, ownedBy(entry, asked.owner)]));
  const remove = new Set(asked.remove ?? []);
  for (const id of [...put.keys(), ...remove]) {
    const entry = held.get(id);
    if (entry !== undefined && entry.owner !== asked.owner && asked.takeOver !== true) throw foreign(id, entry);
    if (put.has(id) && remove.has(id)) {
      throw new AppError("invalid", `workload ${id} is both put and removed; name it once`, { field: "remove" });
    }
  }
  return {
    put: [...put.values()].filter((entry) => !isSameJson(entry, held.get(entry.workload.id))),
    remove: [...remove].filter((id) => held.has(id)),
  };
}

/** Pure. The change that makes the owner's part of the set (or, taking over, the whole of it) exactly `wanted`. */
export function decideReplacement(
  entries: readonly ExpectedEntry[],
  wanted: readonly ExpectedEntry[],
  by: Pick<ExpectedChange, "owner" | "takeOver">,
): ExpectedDiff {
  const ids = new Set(wanted.map(({ workload }) => workload.id));
  const remove = entries
    .filter(({ workload, owner }) => !ids.has(workload.id) && (by.takeOver === true || owner === by.owner))
    .map(({ workload }) => workload.id);
  return decideChange(entries, { ...by, put: wanted, remove });
}

/** Pure. */
export function applyDiff(entries: readonly ExpectedEntry[], diff: ExpectedDiff): readonly ExpectedEntry[] {
  const next = new Map(entries.map((entry) => [entry.workload.id, entry]));
  for (const id of diff.remove) next.delete(id);
  for (const entry of diff.put) next.set(entry.workload.id, entry);
  return [...next.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, entry]) => entry);
}

function ownedBy(entry: ExpectedEntry, owner: string | undefined): ExpectedEntry {
  const { workload, desired } = entry;
  return owner === undefined ? { workload, desired } : { workload, owner, desired };
}

function foreign(id: string, entry: ExpectedEntry): AppError {
  const owner = entry.owner === undefined ? "was put there by hand" : `belongs to ${entry.owner}`;
  return new AppError("conflict", `workload ${id} ${owner}; change it there, or take it over`, { field: "workloadId" });
}
