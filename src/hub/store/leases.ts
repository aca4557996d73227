import { collection, type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

/** Who does what only one hub may do. Times are wall time in milliseconds. */
export interface Lease {
  readonly name: string;
  /** Absent when it was given back. */
  readonly holder?: string;
  /** Grows by one with each new holder: whatever is done under a lease carries it, and what carries an older one is refused. */
  readonly fence: number;
  readonly expiresMs: number;
}

export type LeaseAnswer =
  | { readonly held: true; readonly lease: Lease }
  | { readonly held: false; readonly lease: Lease };

/**
 * Durable and atomic: at no time given to the verbs do two hold one lease. Hubs whose clocks differ may both believe they
 * hold it for as long as they differ: that is what the fence is for.
 */
export interface LeaseStore {
  /** Takes it when it is free or has expired at `nowMs`; a holder renews it by the same verb and keeps its fence. */
  acquire(
    name: string,
    by: { readonly holder: string; readonly ttlMs: number; readonly nowMs: number },
  ): Promise<LeaseAnswer>;
  /** Gives it back if the fence is the present one. Answers whether it was. */
  release(name: string, fence: number): Promise<boolean>;
  list(page: PageRequest): Promise<Page<Lease>>;
}

const leases = collection<Lease>("lease");

export function createLeaseStore(engine: Engine): LeaseStore {
  return {
    acquire: (name, by) =>
      engine.transact([keyOf(leases, name)], ([held]): Outcome<LeaseAnswer> => {
        const lease = decideLease(name, held, by);
        if (lease === undefined) return { answer: { held: false, lease: held ?? { name, fence: 0, expiresMs: 0 } } };
        return { answer: { held: true, lease }, puts: [putOf(keyOf(leases, name), lease)] };
      }),
    release: (name, fence) =>
      engine.transact([keyOf(leases, name)], ([held]): Outcome<boolean> => {
        if (held?.holder === undefined || held.fence !== fence) return { answer: false };
        return { answer: true, puts: [putOf(keyOf(leases, name), { name, fence, expiresMs: 0 })] };
      }),
    list: (page) => readPage(engine, leases, { ...page, pick: (lease) => lease }),
  };
}

/** Pure. The lease as it then is, or `undefined` when another holds it. */
export function decideLease(
  name: string,
  held: Lease | undefined,
  by: { readonly holder: string; readonly ttlMs: number; readonly nowMs: number },
): Lease | undefined {
  const { holder, ttlMs, nowMs } = by;
  const isLive = held?.holder !== undefined && held.expiresMs > nowMs;
  if (isLive && held.holder !== holder) return undefined;
  const fence = isLive ? held.fence : (held?.fence ?? 0) + 1;
  // A renewal with a clock that went back must not shorten what was promised.
  const expiresMs = isLive ? Math.max(held.expiresMs, nowMs + ttlMs) : nowMs + ttlMs;
  return { name, holder, fence, expiresMs };
}
