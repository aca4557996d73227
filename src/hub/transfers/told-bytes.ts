import type { Clock } from "../../base/clock.ts";
import { type LeasedUnit, parseLeaseId } from "./transfer-record.ts";

export type CopiedUnit = Extract<LeasedUnit, { readonly kind: "unit" }>;

/** How much of each unit that is not done its workers have told to have: what is staged stays, whoever is away. Of this hub. */
export interface ToldBytes {
  /** A later attempt, which has only begun to look at what is staged, takes nothing back. */
  note(leaseId: string, bytes: number): void;
  of(uid: string): readonly { readonly unit: CopiedUnit; readonly bytes: number }[];
  /** It is done, and counts by itself. */
  forget(uid: string, unit: CopiedUnit): void;
  /** Forgets what is old. Answers how many are left. */
  prune(): number;
}

/** What another hub has seen done is not known here until somebody looks. */
const KEPT_MS = 3_600_000;

export function createToldBytes({ clock }: { readonly clock: Clock }): ToldBytes {
  const told = new Map<
    string,
    Map<string, { readonly unit: CopiedUnit; readonly bytes: number; readonly atMs: number }>
  >();
  const remove = (uid: string, name: string) => {
    const units = told.get(uid);
    units?.delete(name);
    if (units?.size === 0) told.delete(uid);
  };
  return {
    note: (leaseId, bytes) => {
      const lease = parseLeaseId(leaseId);
      if (lease?.unit.kind !== "unit" || bytes === 0) return;
      const units = told.get(lease.uid) ?? new Map();
      told.set(lease.uid, units);
      const before = units.get(lease.name)?.bytes ?? 0;
      units.set(lease.name, { unit: lease.unit, bytes: Math.max(before, bytes), atMs: clock.monotonicMs() });
    },
    of: (uid) => [...(told.get(uid)?.values() ?? [])],
    forget: (uid, { piece, index }) => remove(uid, `${piece}.${index}`),
    prune: () => {
      for (const [uid, units] of told)
        for (const [name, { atMs }] of units) if (clock.monotonicMs() - atMs > KEPT_MS) remove(uid, name);
      return told.size;
    },
  };
}
