import type { Clock } from "../../base/clock.ts";

/**
 * The results that were taken last of each worker. Whoever tells one again because its answer was lost is told that it counts, also when its
 * unit has gone on since, or its request is over or deleted. Of this hub: another one knows it by what the store says of the unit.
 */
export interface AppliedResults {
  note(worker: string, lease: string): void;
  has(worker: string, lease: string): boolean;
  /** Forgets workers of which nothing was taken for long. Answers how many are left. */
  prune(): number;
}

/** A worker has fewer leases at a time, and tells of each until it is answered. */
const KEPT = 64;
const KEPT_MS = 3_600_000;

export function createAppliedResults({ clock }: { readonly clock: Clock }): AppliedResults {
  const workers = new Map<string, { readonly leases: Set<string>; takenMs: number }>();
  return {
    note: (worker, lease) => {
      const known = workers.get(worker) ?? { leases: new Set(), takenMs: 0 };
      workers.set(worker, known);
      known.takenMs = clock.monotonicMs();
      known.leases.add(lease);
      for (const oldest of known.leases) {
        if (known.leases.size <= KEPT) break;
        known.leases.delete(oldest);
      }
    },
    has: (worker, lease) => workers.get(worker)?.leases.has(lease) === true,
    prune: () => {
      for (const [worker, { takenMs }] of workers) if (clock.monotonicMs() - takenMs > KEPT_MS) workers.delete(worker);
      return workers.size;
    },
  };
}
