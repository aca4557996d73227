import type { Workload } from "../../src/contract/workload.ts";

/** One step of the set, as it goes out to whoever is connected. */
export type SetStep =
  | {
      readonly kind: "change";
      readonly revision: number;
      readonly put: readonly Workload[];
      readonly remove: readonly string[];
    }
  | { readonly kind: "snapshot"; readonly confirm: boolean };

export interface Snapshot {
  readonly epoch: string;
  readonly revision: number;
  readonly workloads: readonly Workload[];
}

/** What a box that comes back must hear first. */
export type CatchUp =
  | { readonly kind: "replay"; readonly changes: readonly Extract<SetStep, { kind: "change" }>[] }
  | { readonly kind: "snapshot"; readonly reason: "no-cursor" | "unknown-cursor" | "other-epoch" | "too-old" };

/** What the boxes should run, in memory. Every box gets the same set. */
export interface ExpectedSet {
  snapshot(): Snapshot;
  put(workloads: readonly Workload[]): void;
  /** Ids that were there and are gone now. */
  remove(ids: readonly string[]): string[];
  /** The whole set at once. Older cursors get a snapshot. */
  replace(workloads: readonly Workload[], confirm: boolean): void;
  /** As after a server that lost its disk: a new epoch and nothing in the set. */
  loseState(): void;
  /** `cursor` is `<epoch>.<revision>`, as a `Last-Event-ID` header brings it. */
  catchUp(cursor: string | undefined): CatchUp;
  onStep(listener: (step: SetStep) => void): void;
}

export interface ExpectedSetDeps {
  newEpoch(): string;
}

export function createExpectedSet(options: { readonly keepChanges: number }, deps: ExpectedSetDeps): ExpectedSet {
  let epoch = deps.newEpoch();
  let revision = 0;
  const workloads = new Map<string, Workload>();
  const changes: Extract<SetStep, { kind: "change" }>[] = [];
  const listeners = new Set<(step: SetStep) => void>();
  const tell = (step: SetStep) => {
    for (const listener of listeners) listener(step);
  };
  const change = (put: readonly Workload[], remove: readonly string[]) => {
    revision++;
    for (const workload of put) workloads.set(workload.id, workload);
    for (const id of remove) workloads.delete(id);
    const step = { kind: "change", revision, put, remove } as const;
    changes.push(step);
    if (changes.length > options.keepChanges) changes.shift();
    tell(step);
  };

  return {
    snapshot: () => ({ epoch, revision, workloads: [...workloads.values()] }),
    put: (given) => {
      if (given.length > 0) change(given, []);
    },
    remove: (ids) => {
      const known = [...new Set(ids)].filter((id) => workloads.has(id));
      if (known.length > 0) change([], known);
      return known;
    },
    replace: (given, confirm) => {
      revision++;
      workloads.clear();
      for (const workload of given) workloads.set(workload.id, workload);
      changes.length = 0;
      tell({ kind: "snapshot", confirm });
    },
    loseState: () => {
      epoch = deps.newEpoch();
      revision = 0;
      workloads.clear();
      changes.length = 0;
      tell({ kind: "snapshot", confirm: false });
    },
    catchUp: (cursor) => decideCatchUp({ cursor, epoch, revision, changes }),
    onStep: (listener) => void listeners.add(listener),
  };
}

/** Pure: the changes after the cursor where they are all still known, else a snapshot and why. */
export function decideCatchUp(held: {
  readonly cursor: string | undefined;
  readonly epoch: string;
  readonly revision: number;
  readonly changes: readonly Extract<SetStep, { kind: "change" }>[];
}): CatchUp {
  if (held.cursor === undefined || held.cursor === "") return { kind: "snapshot", reason: "no-cursor" };
  const [, epoch, digits] = /^(.+)\.(\d{1,15})$/.exec(held.cursor) ?? [];
  if (epoch === undefined || digits === undefined) return { kind: "snapshot", reason: "unknown-cursor" };
  if (epoch !== held.epoch) return { kind: "snapshot", reason: "other-epoch" };
  const seen = Number(digits);
  if (seen > held.revision) return { kind: "snapshot", reason: "unknown-cursor" };
  const missing = held.changes.filter((change) => change.revision > seen);
  if (missing.length !== held.revision - seen) return { kind: "snapshot", reason: "too-old" };
  return { kind: "replay", changes: missing };
}
