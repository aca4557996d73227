import type { WorkKind } from "../../contract/transfer/assignment.ts";
import type { ResultAnswer, TransferResult } from "../../contract/transfer/transfer-result.ts";
import { parseLeaseId } from "./transfer-record.ts";

/**
 * What a worker asks of the hub because of work that it was given, however quick it is. Each is owed once: a unit has one first attempt, and
 * each attempt one result that is taken. What goes beyond that counts: asks that bring nothing, or what was given out before, because a
 * worker that says that it lost its leases is given them again as often as it asks; results that were taken before; pages of plans.
 * Whichever hub is asked knows it by its own answer, so that none has to know what another one gave.
 */

/** Pure. By asking for work, and by telling of it where that cannot be told from telling it again. */
export function owedWith(
  assignment: { readonly attempt: number; readonly work: { readonly kind: WorkKind } } | undefined,
): number {
  // Who has plain work is given the same again.
  if (assignment === undefined || assignment.attempt > 1 || assignment.work.kind === "plain") return 0;
  return assignment.work.kind === "serve" ? 2 : 1;
}

/** Pure. By telling what became of work. */
export function owedFor(
  { lease_id: lease }: Pick<TransferResult, "lease_id">,
  status: ResultAnswer["status"] | undefined,
): number {
  if (status !== "ack") return 0;
  // Whoever serves is told this also of what it told before.
  return lease !== undefined && parseLeaseId(lease)?.unit.kind === "serve" ? 0 : 1;
}
