/**
 * What must happen so that a box runs what it should: the difference of two maps, as typed steps. Pure.
 * An empty plan means settled. A workload in a transition gets no step until the transition ends.
 */

/** What really runs, proved against the kernel. */
export interface ObservedWorkload {
  readonly specHash: string;
  /**
   * - `launching`, `stopping`: a transition is under way;
   * - `running`: has a process;
   * - `waiting`: has none, the next start is due at `dueAtMs`;
   * - `unkillable`: has a process that nothing ends.
   */
  readonly phase: "launching" | "running" | "stopping" | "waiting" | "unkillable";
  readonly dueAtMs: number | undefined;
  /** Why its process must be replaced although its spec did not change. */
  readonly fault: string | undefined;
  /** Nobody can say yet whether it is expected: it stays until somebody can. */
  readonly isUnexplained?: boolean;
}

export interface ExpectedWorkload {
  readonly specHash: string;
  /** The box does not run it, whatever the hub says. */
  readonly isRefused: boolean;
  /** The box has no room for it: it is stopped, and not started. */
  readonly isShed?: boolean;
}

export type StopReason = "not-expected" | "refused" | "changed" | "unhealthy" | "shed";

export type Step =
  | { readonly kind: "stop"; readonly id: string; readonly reason: StopReason }
  | { readonly kind: "start"; readonly id: string; readonly isChanged: boolean }
  /** Nothing of it runs and nothing expects it. */
  | { readonly kind: "forget"; readonly id: string };

export interface Plan {
  /** Stops and forgets before starts, each in the order of ids. */
  readonly steps: readonly Step[];
  /** Expected, running and left alone. */
  readonly kept: readonly string[];
  /** When the next waiting workload falls due, where one does. */
  readonly nextDueAtMs: number | undefined;
}

export function planReconcile(
  observed: ReadonlyMap<string, ObservedWorkload>,
  expected: ReadonlyMap<string, ExpectedWorkload>,
  nowMs: number,
): Plan {
  const stops: Step[] = [];
  const starts: Step[] = [];
  const kept: string[] = [];
  let nextDueAtMs: number | undefined;

  for (const id of [...observed.keys()].sort()) {
    const seen = observed.get(id);
    const wanted = expected.get(id);
    if (seen === undefined || (wanted !== undefined && !wanted.isRefused)) continue;
    if (wanted === undefined && seen.isUnexplained === true) continue;
    if (seen.phase === "waiting") stops.push({ kind: "forget", id });
    else if (seen.phase === "running" || seen.phase === "launching") {
      stops.push({ kind: "stop", id, reason: wanted === undefined ? "not-expected" : "refused" });
    }
  }

  for (const id of [...expected.keys()].sort()) {
    const wanted = expected.get(id);
    if (wanted === undefined || wanted.isRefused) continue;
    const seen = observed.get(id);
    if (wanted.isShed === true) {
      if (seen?.phase === "running" || seen?.phase === "launching") stops.push({ kind: "stop", id, reason: "shed" });
      continue;
    }
    if (seen === undefined) {
      starts.push({ kind: "start", id, isChanged: false });
      continue;
    }
    const isChanged = seen.specHash !== wanted.specHash;
    switch (seen.phase) {
      case "running":
      case "launching":
        if (isChanged) stops.push({ kind: "stop", id, reason: "changed" });
        else if (seen.fault !== undefined) stops.push({ kind: "stop", id, reason: "unhealthy" });
        else kept.push(id);
        break;
      case "waiting":
        // A changed workload deserves a fresh try at once: whatever failed before was another spec.
        if (isChanged || seen.dueAtMs === undefined || seen.dueAtMs <= nowMs)
          starts.push({ kind: "start", id, isChanged });
        else nextDueAtMs = Math.min(nextDueAtMs ?? Number.POSITIVE_INFINITY, seen.dueAtMs);
        break;
      case "stopping":
      case "unkillable":
        break;
    }
  }
  return { steps: [...stops, ...starts], kept, nextDueAtMs };
}
