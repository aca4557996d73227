import type { SyncRequest } from "../../contract/transfer/sync-request.ts";
import type { Side, Transfer } from "./transfer-record.ts";

/** What begins to write has its turn under this name, which is no id: who else writes there is looked at, and what begins is written, before the next. */
export const BEGIN_TURN = "begin/";

/** Pure. Whether one of both is the other, or lies in it. Storages that lie in each other are two: nobody can know. */
export function isOverlapping(one: Side, other: Side): boolean {
  return one.storage === other.storage && (isIn(one.path, other.path) || isIn(other.path, one.path));
}

/** Pure. Who writes where this one would: two that write one tree at a time would leave a mixture of both. */
export function writerOf(
  destination: Side,
  transfer: Pick<Transfer, "id">,
  all: readonly Pick<Transfer, "id" | "phase" | "destination" | "request">[],
): string | undefined {
  return all.find(
    (other) =>
      other.id !== transfer.id &&
      other.request.mode !== "verify" &&
      (other.phase === "active" || other.phase === "closing" || other.phase === "cancelling") &&
      other.destination !== undefined &&
      isOverlapping(destination, other.destination),
  )?.id;
}

/** Pure. Of one box, where no storage has to be known for it. A comparison of such places harms nothing. */
export function isOntoItself({
  mode,
  ...places
}: Pick<SyncRequest, "mode" | "source_box" | "destination_box" | "source_path" | "destination_path">): boolean {
  const { source_box, destination_box, source_path: from, destination_path: to } = places;
  const isOneBox = source_box !== undefined && source_box === destination_box;
  return mode === "copy" && isOneBox && (isIn(from, to) || isIn(to, from));
}

function isIn(path: string, of: string): boolean {
  return of === "" || path === of || path.startsWith(`${of}/`);
}
