import type { Clock } from "../../base/clock.ts";

/**
 * How quick transfers are, by how far they were when they were looked at. What workers say of their leases is not enough: most
 * are over before the first heartbeat that could tell of them, and a slow one brings nothing for seconds.
 */
export interface TransferRates {
  /** Bytes a second of late; `undefined`: it was not looked at for long enough. */
  look(uid: string, bytes: number): number | undefined;
  /** Forgets what was not looked at for long. Answers how many are left. */
  prune(): number;
}

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

const STEP_MS = 500;
const LEAST_MS = 2000;
const WINDOW_MS = 15_000;
/** Whoever looks so seldom wants to know how it is now. */
const GAP_MS = 30_000;

export function createTransferRates({ clock }: { readonly clock: Pick<Clock, "monotonicMs"> }): TransferRates {
  const samples = new Map<string, Sample[]>();
  return {
    look: (uid, bytes) => {
      const atMs = clock.monotonicMs();
      const before = samples.get(uid) ?? [];
      const last = before.at(-1);
      // What was lost on its way, or is begun anew, is no speed.
      const isBroken = last === undefined || bytes < last.bytes || atMs - last.atMs > GAP_MS;
      const kept = isBroken ? [] : before;
      while ((kept[1]?.atMs ?? atMs) <= atMs - WINDOW_MS) kept.shift();
      if (atMs - (kept.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= STEP_MS) kept.push({ atMs, bytes });
      samples.set(uid, kept);
      const [first = { atMs, bytes }] = kept;
      const spanMs = atMs - first.atMs;
      return spanMs < LEAST_MS ? undefined : ((bytes - first.bytes) * 1000) / spanMs;
    },
    prune: () => {
      for (const [uid, kept] of samples) {
        if (clock.monotonicMs() - (kept.at(-1)?.atMs ?? 0) > GAP_MS) samples.delete(uid);
      }
      return samples.size;
    },
  };
}
