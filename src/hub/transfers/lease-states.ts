import { LEASE_TTL_MS } from "./lease-watch.ts";
import type { LoadedPiece } from "./piece-book.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { leaseIdOf, type Step, type Transfer } from "./transfer-record.ts";
import { isReady } from "./unit-states.ts";

/** Pieces with open units that are looked at for one answer. */
export const LOOKED_AT = 64;
/** A unit that is out for longer than this, while nothing else is left, is given to a second worker as well. */
const STRAGGLER_MS = 30_000;

/** Who asks for work, and what it has while it asks; absent: it does not say. */
export interface Asker {
  readonly id: string;
  readonly held?: ReadonlySet<string> | undefined;
}

/** What of a transfer is in somebody's hands, and what could be given out. */
export interface LeaseStates {
  /** For who asks its own leases are out only as far as it has them. */
  isOut(transfer: Transfer, unit: string, step: Pick<Step, "attempt" | "worker">, asker?: Asker): boolean;
  /** Whether a step of the transfer itself could be given out. */
  isFree(transfer: Transfer, name: "list" | "close" | "discard", asker: Asker): boolean;
  stateOf(
    transfer: Transfer,
    asker: Asker,
    at: { readonly piece: number; readonly index: number; readonly loaded: LoadedPiece },
  ): "free" | "straggler" | "not";
}

export function createLeaseStates({
  watch,
  rests,
  clock,
}: Pick<TransferHall, "watch" | "rests" | "clock">): LeaseStates {
  const isOut: LeaseStates["isOut"] = (transfer, unit, step, asker) => {
    if (step.worker === undefined || step.attempt === 0) return false;
    const ttlMs = transfer.mode === "plain" ? LEASE_TTL_MS.plain : LEASE_TTL_MS.full;
    const id = leaseIdOf(transfer.uid, unit, step.attempt);
    if (asker?.id === step.worker && asker.held?.has(id) === false) return false;
    return watch.isLive(id, step.worker, ttlMs);
  };
  return {
    isOut,
    isFree: (transfer, name, asker) => {
      const step = transfer[name];
      return !step.isDone && !isOut(transfer, name, step, asker) && rests.isOver(`${transfer.uid}:${name}`);
    },
    stateOf: (transfer, asker, { piece, index, loaded }) => {
      const state = loaded.states.units[index];
      const unit = `${piece}.${index}`;
      if (state === undefined || !isReady(loaded.piece, loaded.states, index)) return "not";
      if (!rests.isOver(`${transfer.uid}:${unit}`)) return "not";
      if (state.state !== "leased" || !isOut(transfer, unit, state, asker)) return "free";
      if (state.worker === asker.id) return "not";
      const id = leaseIdOf(transfer.uid, unit, state.attempt);
      const lease = watch.of(transfer.uid).find((one) => one.id === id);
      const isLong =
        lease !== undefined &&
        clock.monotonicMs() - lease.grantedMs > STRAGGLER_MS * 2 ** Math.min(6, state.attempt - 1);
      return isLong ? "straggler" : "not";
    },
  };
}
