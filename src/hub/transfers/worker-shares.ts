import type { SeenLease } from "./lease-watch.ts";
import type { Pools } from "./transfer-hall.ts";
import { listedSide, parseLeaseId, type SideName, sideOfPiece, type Transfer } from "./transfer-record.ts";
import { isPlain, type Worker } from "./worker-record.ts";

/** A kind of work of a transfer. `units`: of the pieces that it may take. */
export type Share =
  | { readonly kind: "list" | "close" | "discard" | "plain" }
  | { readonly kind: "units"; readonly mayTake: (piece: number) => boolean };

/** A lease of a request that is held to a rate: more of them at a time would gain it nothing, and take what others could use. */
const STREAM_MBPS = 50;

/**
 * What of a transfer a worker may be given by where it is and what the transfer is about, in the order in which it is given. Whether any of
 * it is free is another question. Pure; `held`: what of the transfer is in somebody's hands.
 */
export function sharesOf(
  transfer: Transfer,
  worker: Worker,
  {
    pools,
    held,
    isBarred = false,
  }: {
    readonly pools: Pools;
    readonly held: readonly Pick<SeenLease, "id">[];
    /** It may not do there what another one may (`barOf`). */
    readonly isBarred?: boolean;
  },
): readonly Share[] {
  const members = { source: pools.sources, destination: pools.destinations };
  const isIn = (side: SideName) => members[side].some((member) => member.worker.id === worker.id);
  // Whoever still had something of it has stopped, or is not heard any more.
  if (transfer.phase === "cancelling") return isIn("destination") && held.length === 0 ? [{ kind: "discard" }] : [];
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
  const mayHaveUnits = !isBarred && (may.destination || (isComparison && may.source)) && hasRoomInRate(transfer, held);
  const mayTake = (piece: number) => may[isComparison ? sideOfPiece(transfer, piece) : "destination"];
  return [
    ...(may[listedSide(transfer)] ? [{ kind: "list" } as const] : []),
    ...(mayHaveUnits ? [{ kind: "units", mayTake } as const] : []),
  ];
}

/** Under which name a worker rests from copying in one transfer: what it may not do there it may elsewhere. */
export function barOf({ uid }: Pick<Transfer, "uid">, worker: string): string {
  return `${uid}:bar:${worker}`;
}

function hasRoomInRate({ request }: Transfer, held: readonly Pick<SeenLease, "id">[]): boolean {
  const { bandwidth_mbps: mbps } = request;
  if (mbps === undefined) return true;
  const copying = held.filter(({ id }) => parseLeaseId(id)?.unit.kind === "unit").length;
  return copying < Math.ceil(mbps / STREAM_MBPS);
}
