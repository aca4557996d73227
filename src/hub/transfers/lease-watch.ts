import type { Clock } from "../../base/clock.ts";
import type { LeaseProgress, TransferWay } from "../../contract/transfer/worker-heartbeat.ts";

/** After the last word of who has it. Hand-written workers may send theirs between two files only. */
export const LEASE_TTL_MS = { full: 10_000, plain: 60_000 } as const;
const KEPT_MS = 10 * 60_000;
/** However often the store goes and comes, a worker that is not heard for longer has nothing. */
const EXCUSED_MS = 60_000;

export interface SeenLease {
  readonly id: string;
  readonly worker: string;
  /** Which process of it, as far as is known. */
  readonly boot: string | undefined;
  readonly grantedMs: number;
  /** The last word of its worker. */
  readonly heardMs: number;
  /** From when its time runs. */
  readonly seenMs: number;
  readonly ttlMs: number;
  readonly bytes: number;
  readonly rate: number;
  /** Of a copy, once its worker has told. */
  readonly way?: TransferWay | undefined;
}

/**
 * Which leases are alive, by this hub's own monotonic clock: nobody's wall clock can end one or keep one. What a hub sees for the
 * first time, after a start or because another hub gave it out, has its whole time from then on. A worker that has begun anew has
 * nothing of what it had before.
 */
export interface LeaseWatch {
  granted(id: string, worker: string, ttlMs: number): void;
  heard(worker: string, progress: LeaseProgress): void;
  /** Everything that this worker has by plain forms. */
  heardPlain(worker: string): void;
  /** All that a worker has of what renews leases: an answer that gave it anything else never came. */
  has(worker: string, held: ReadonlySet<string>): void;
  isLive(id: string, worker: string, ttlMs: number): boolean;
  over(id: string): SeenLease | undefined;
  /** Alive, of one transfer. */
  of(uid: string): readonly SeenLease[];
  /** For a while nobody could be heard, because the store was away: what was heard lately has its whole time from now on. */
  excuse(): void;
  prune(): void;
}

/** `bootOf`: which process of a worker is known to be there. */
export function createLeaseWatch(
  { clock }: { readonly clock: Clock },
  bootOf: (worker: string) => string | undefined,
): LeaseWatch {
  const seen = new Map<string, SeenLease>();

  const begin = (id: string, worker: string, ttlMs: number): SeenLease => {
    const nowMs = clock.monotonicMs();
    const lease = {
      id,
      worker,
      boot: bootOf(worker),
      grantedMs: nowMs,
      heardMs: nowMs,
      seenMs: nowMs,
      ttlMs,
      bytes: 0,
      rate: 0,
    };
    seen.set(id, lease);
    return lease;
  };
  const isFresh = ({ seenMs, ttlMs, worker, boot }: SeenLease) => {
    const now = bootOf(worker);
    const isAnother = boot !== undefined && now !== undefined && boot !== now;
    return !isAnother && clock.monotonicMs() - seenMs <= ttlMs;
  };

  return {
    granted: (id, worker, ttlMs) => void begin(id, worker, ttlMs),
    heard: (worker, { lease_id, transferred_bytes, rate, way }) => {
      const lease = seen.get(lease_id) ?? begin(lease_id, worker, LEASE_TTL_MS.full);
      const nowMs = clock.monotonicMs();
      const now = { boot: bootOf(worker), heardMs: nowMs, seenMs: nowMs };
      seen.set(lease_id, { ...lease, ...now, bytes: transferred_bytes, rate, way });
    },
    heardPlain: (worker) => {
      for (const lease of seen.values()) {
        const isPlain = lease.worker === worker && lease.ttlMs === LEASE_TTL_MS.plain;
        const nowMs = clock.monotonicMs();
        if (isPlain && isFresh(lease)) seen.set(lease.id, { ...lease, heardMs: nowMs, seenMs: nowMs });
      }
    },
    has: (worker, held) => {
      for (const { id, worker: of, ttlMs } of seen.values()) {
        if (of === worker && ttlMs === LEASE_TTL_MS.full && !held.has(id)) seen.delete(id);
      }
    },
    isLive: (id, worker, ttlMs) => isFresh(seen.get(id) ?? begin(id, worker, ttlMs)),
    over: (id) => {
      const lease = seen.get(id);
      seen.delete(id);
      return lease;
    },
    of: (uid) => [...seen.values()].filter((lease) => lease.id.startsWith(`${uid}:`) && isFresh(lease)),
    excuse: () => {
      const nowMs = clock.monotonicMs();
      for (const lease of seen.values()) {
        if (nowMs - lease.heardMs <= EXCUSED_MS) seen.set(lease.id, { ...lease, seenMs: nowMs });
      }
    },
    prune: () => {
      for (const lease of seen.values()) {
        if (clock.monotonicMs() - lease.seenMs > KEPT_MS) seen.delete(lease.id);
      }
    },
  };
}
