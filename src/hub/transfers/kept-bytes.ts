import type { SeenLease } from "./lease-watch.ts";
import type { CopiedUnit } from "./told-bytes.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { parseLeaseId, type Transfer } from "./transfer-record.ts";
import { UnreadablePlan } from "./unreadable-plan.ts";

/**
 * Bytes that workers have told of units that are not done, beside what who has them now tells: they lie staged, and are gone on with. A
 * comparison keeps nothing of a unit, which is hashed from its start again.
 */
export async function keptBytes(
  transfer: Transfer,
  { pieces, told }: Pick<TransferHall, "pieces" | "told">,
  leases: readonly SeenLease[],
): Promise<number> {
  if (transfer.request.mode === "verify") return 0;
  let kept = 0;
  for (const { unit, bytes } of told.of(transfer.uid)) {
    const more = bytes - movingOf(unit, leases);
    if (more <= 0 || unit.piece >= transfer.list.pieces) continue;
    const done = await doneOf(transfer, pieces, unit);
    if (done === "all") told.forget(transfer.uid, unit);
    else kept += Math.max(0, more - done);
  }
  return kept;
}

function movingOf({ piece, index }: CopiedUnit, leases: readonly SeenLease[]): number {
  const name = `${piece}.${index}`;
  return leases.reduce((sum, { id, bytes }) => (parseLeaseId(id)?.name === name ? sum + bytes : sum), 0);
}

/** Bytes of it that count already. */
async function doneOf(
  transfer: Transfer,
  pieces: TransferHall["pieces"],
  { piece: at, index }: CopiedUnit,
): Promise<number | "all"> {
  try {
    const { piece, states } = await pieces.load(transfer, at);
    const [unit, state] = [piece.units[index], states.units[index]];
    if (unit?.kind !== "copy" || state === undefined || state.state === "done") return "all";
    return unit.items.reduce(
      (sum, { length }, item) => (typeof state.hashes?.[item] === "string" ? sum + length : sum),
      0,
    );
  } catch (thrown) {
    if (thrown instanceof UnreadablePlan) return "all";
    throw thrown;
  }
}
