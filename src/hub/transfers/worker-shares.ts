import type { Pools } from "./transfer-hall.ts";
import { listedSide, type SideName, sideOfPiece, type Transfer } from "./transfer-record.ts";
import { isPlain, type Worker } from "./worker-record.ts";

/** A kind of work of a transfer. `units`: of the pieces that it may take. */
export type Share =
  | { readonly kind: "list" | "close" | "discard" | "plain" }
  | { readonly kind: "units"; readonly mayTake: (piece: number) => boolean };

/**
 * What of a transfer a worker may be given by where it is and what the transfer is about, in the order in which it is given. Whether any of
 * it is free is another question. Pure; `isHeld`: something of the transfer is in somebody's hands.
 */
export function sharesOf(
  transfer: Transfer,
  worker: Worker,
  { pools, isHeld }: { readonly pools: Pools; readonly isHeld: boolean },
): readonly Share[] {
  const members = { source: pools.sources, destination: pools.destinations };
  const isIn = (side: SideName) => members[side].some((member) => member.worker.id === worker.id);
  // Whoever still had something of it has stopped, or is not heard any more.
  if (transfer.phase === "cancelling") return isIn("destination") && !isHeld ? [{ kind: "discard" }] : [];
  if (transfer.phase === "closing") return isIn("destination") ? [{ kind: "close" }] : [];
  if (transfer.phase !== "active") return [];
  const isPreferred = (side: SideName) => {
    const preferred = members[side].find((member) => member.worker.id === transfer.prefer);
    return preferred === undefined || preferred.worker.id === worker.id;
  };
  const may = {
    source: isIn("source") && isPreferred("source"),
    destination: isIn("destination") && isPreferred("destination"),
  };
  if (transfer.mode === "plain") {
    return may.source && isPlain(worker) && members.destination.length > 0 ? [{ kind: "plain" }] : [];
  }
  const isComparison = transfer.request.mode === "verify";
  const mayTake = (piece: number) => may[isComparison ? sideOfPiece(transfer, piece) : "destination"];
  return [
    ...(may[listedSide(transfer)] ? [{ kind: "list" } as const] : []),
    ...(may.destination || (isComparison && may.source) ? [{ kind: "units", mayTake } as const] : []),
  ];
}
