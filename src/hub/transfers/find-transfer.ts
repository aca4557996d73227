import { AppError } from "../../base/errors.ts";
import { notFound } from "../store/store-error.ts";
import type { TransferHall } from "./transfer-hall.ts";
import { parseLeaseId, type Transfer } from "./transfer-record.ts";

/** What a worker tells of. `gone`: it was deleted, or is being, or is an earlier one of that name. `not-found`: there never was one. */
export async function requireTransfer(
  { book }: Pick<TransferHall, "book">,
  id: string,
  leaseId: string | undefined,
): Promise<Transfer> {
  const lease = leaseId === undefined ? undefined : parseLeaseId(leaseId);
  const known = book.known(id);
  // The one that is known may have made way for another of its name, through another hub.
  const isIt = known !== undefined && (lease === undefined || lease.uid === known.uid);
  const transfer = isIt ? known : await book.get(id);
  if (leaseId !== undefined && lease === undefined) {
    throw new AppError("invalid", "lease_id: given something else; allowed: the lease_id of an assignment", {
      field: "lease_id",
    });
  }
  if (transfer === undefined) {
    if (lease !== undefined || (await book.isBuried(id))) throw gone(id);
    throw notFound("request", id);
  }
  if (lease !== undefined && lease.uid !== transfer.uid) throw gone(id);
  if (transfer.phase === "cancelling" && lease?.unit.kind !== "discard") throw gone(id);
  return transfer;
}

function gone(id: string): AppError {
  return new AppError("gone", `request ${JSON.stringify(id)} was deleted: nothing of it is taken any more`);
}
