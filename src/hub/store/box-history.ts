/** What went wrong on a box, as its reports told it. Newest first by start. Times are wall time in milliseconds. */
export interface BoxHistory {
  readonly boxId: string;
  readonly incidents: readonly Incident[];
  readonly gaps: readonly Gap[];
}

/** One cause that hit the whole box. The same `kind` and `startMs` are the same incident. */
export interface Incident {
  readonly kind: string;
  readonly cause: string;
  readonly startMs: number;
  /** Absent while it lasts. */
  readonly endMs?: number | undefined;
}

/** A time in which a workload was expected and not proved to work. The same workload and `startMs` are the same gap. */
export interface Gap {
  readonly workloadId: string;
  readonly cause: string;
  readonly startMs: number;
  readonly endMs?: number | undefined;
}

export const INCIDENTS_KEPT = 200;
export const GAPS_KEPT = 1000;

/** Pure. What is new is added, what has ended is closed; what ended before stays as it is. */
export function followHistory(held: BoxHistory, seen: Pick<BoxHistory, "incidents" | "gaps">): BoxHistory {
  const incidents = merge(held.incidents, seen.incidents, ({ kind }) => kind).slice(0, INCIDENTS_KEPT);
  const gaps = merge(held.gaps, seen.gaps, ({ workloadId }) => workloadId).slice(0, GAPS_KEPT);
  return { boxId: held.boxId, incidents, gaps };
}

interface Span {
  readonly startMs: number;
  readonly endMs?: number | undefined;
}

function merge<Item extends Span>(
  held: readonly Item[],
  seen: readonly Item[],
  nameOf: (item: Item) => string,
): Item[] {
  const keyed = (item: Item): [string, Item] => [`${item.startMs}/${nameOf(item)}`, item];
  const all = new Map(held.map(keyed));
  for (const [key, item] of seen.map(keyed)) {
    if (all.get(key)?.endMs === undefined) all.set(key, item);
  }
  return [...all.values()].sort((one, other) => other.startMs - one.startMs || (nameOf(one) < nameOf(other) ? -1 : 1));
}
