import type { LeaseProgress } from "../../contract/transfer/worker-heartbeat.ts";
import { rankOf } from "./choose-workers.ts";
import { copyWork, NoWay } from "./copy-work.ts";
import { createLeaseStates, LOOKED_AT } from "./lease-states.ts";
import { poolsOf, type TransferHall } from "./transfer-hall.ts";
import { isOver, parseLeaseId, type Transfer } from "./transfer-record.ts";
import { UnreadablePlan } from "./unreadable-plan.ts";
import type { Worker } from "./worker-record.ts";
import { barOf, sharesOf } from "./worker-shares.ts";

/**
 * A worker that has no stream free gives one up for something of higher priority, and for a request that has nothing here while
 * another one holds several of its streams for long. Its journal keeps what it has.
 */
export interface Yielding {
  /** By what it asks for: 0 streams are free. */
  asked(worker: string, free: number): void;
  /** Of the leases that a worker has just named, the one that it is to let go now, and for what. */
  choose(
    worker: Worker,
    leases: readonly LeaseProgress[],
  ): Promise<{ readonly lease: LeaseProgress; readonly reason: string } | undefined>;
}

interface Held {
  readonly lease: LeaseProgress;
  readonly transfer: Transfer;
  readonly rank: number;
}

/** A full worker asks at least so often for what others wait for. */
const FULL_MS = 30_000;
/** What is over sooner makes room by itself. */
const LONG_MS = 5000;

export function createYielding(hall: TransferHall): Yielding {
  const { book, pieces, watch, rests, clock } = hall;
  const { isFree, stateOf } = createLeaseStates(hall);
  const fullSinceMs = new Map<string, number>();

  const isFull = (worker: string) => {
    const sinceMs = fullSinceMs.get(worker);
    return sinceMs !== undefined && clock.monotonicMs() - sinceMs <= FULL_MS;
  };

  /** Whether it would be given something of this transfer now, by this hub. */
  const hasWork = (transfer: Transfer, worker: Worker): Promise<boolean> =>
    lookForWork(transfer, worker).catch((thrown: unknown) => {
      if (thrown instanceof UnreadablePlan) return false;
      throw thrown;
    });

  const lookForWork = async (transfer: Transfer, worker: Worker): Promise<boolean> => {
    const pools = poolsOf(transfer, hall);
    const isBarred = !rests.isOver(barOf(transfer, worker.id));
    for (const share of sharesOf(transfer, worker, { pools, held: watch.of(transfer.uid), isBarred })) {
      if (share.kind === "units" && (await hasUnit(transfer, worker, share.mayTake))) return true;
      // A plain worker cannot let go of what it has.
      if (share.kind !== "units" && share.kind !== "plain" && isFree(transfer, share.kind, worker)) return true;
    }
    return false;
  };

  const hasUnit = async (transfer: Transfer, worker: Worker, mayTake: (piece: number) => boolean): Promise<boolean> => {
    if (!rests.isOver(`${transfer.uid}:copy`)) return false;
    let looked = 0;
    for (const [piece, { open }] of (await pieces.summaries(transfer)).entries()) {
      if (open === 0 || !mayTake(piece)) continue;
      if (++looked > LOOKED_AT) return false;
      const loaded = await pieces.load(transfer, piece);
      for (const [index, { kind }] of loaded.piece.units.entries()) {
        if (stateOf(transfer, worker, { piece, index, loaded }) !== "free") continue;
        const isCopy = transfer.request.mode !== "verify" && kind === "copy";
        return !isCopy || hasWay(transfer, worker, `${piece}.${index}`);
      }
    }
    return false;
  };

  const hasWay = (transfer: Transfer, worker: Worker, unit: string) =>
    copyWork(hall, { transfer, worker, pools: poolsOf(transfer, hall), unit }).then(
      () => true,
      (thrown: unknown) => {
        if (thrown instanceof NoWay) return false;
        throw thrown;
      },
    );

  return {
    asked: (worker, free) => {
      if (free === 0) fullSinceMs.set(worker, clock.monotonicMs());
      else fullSinceMs.delete(worker);
    },
    choose: async (worker, leases) => {
      if (!isFull(worker.id)) return undefined;
      const held = leases.flatMap((lease) => {
        const { uid, unit } = parseLeaseId(lease.lease_id) ?? {};
        const transfer = uid === undefined || unit?.kind !== "unit" ? undefined : book.ofUid(uid);
        return transfer === undefined ? [] : [{ lease, transfer, rank: rankOf(transfer.request.priority) }];
      });
      const [least] = held.sort(
        (one, other) => other.rank - one.rank || one.lease.transferred_bytes - other.lease.transferred_bytes,
      );
      if (least === undefined) return undefined;
      for (const transfer of book.all()) {
        if (isOver(transfer) || rankOf(transfer.request.priority) >= least.rank) continue;
        if (!(await hasWork(transfer, worker))) continue;
        // Once it has the stream and is full again, the next one goes.
        fullSinceMs.delete(worker.id);
        return { lease: least.lease, reason: `it makes room for ${transfer.id}, which is more urgent` };
      }
      return chooseForEqual(worker, leases, held);
    },
  };

  /** Of a request with several streams here, for one of the same priority that has nothing here. */
  async function chooseForEqual(worker: Worker, leases: readonly LeaseProgress[], held: readonly Held[]) {
    const present = new Set(leases.map(({ lease_id }) => parseLeaseId(lease_id)?.uid));
    const many = held.find(({ lease, transfer }) => {
      const grantedMs = watch.of(transfer.uid).find(({ id }) => id === lease.lease_id)?.grantedMs;
      const isLong = grantedMs !== undefined && clock.monotonicMs() - grantedMs >= LONG_MS;
      return isLong && held.filter((other) => other.transfer.uid === transfer.uid).length > 1;
    });
    if (many === undefined) return undefined;
    // Whoever has least is served first: else the stream would go back to whose it was.
    const left = watch.of(many.transfer.uid).length - 1;
    for (const transfer of book.all()) {
      const isPoorer = rankOf(transfer.request.priority) === many.rank && watch.of(transfer.uid).length < left;
      if (isOver(transfer) || present.has(transfer.uid) || !isPoorer || !(await hasWork(transfer, worker))) continue;
      fullSinceMs.delete(worker.id);
      return { lease: many.lease, reason: `it makes room for ${transfer.id}, which has nothing here` };
    }
    return undefined;
  }
}
