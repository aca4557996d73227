import type { Transfer } from "./transfer-record.ts";
import type { Totals } from "./transfer-totals.ts";

/** Walks over one transfer. What still changes after the last is told as a failure. */
export const MAX_ROUNDS = 3;
/** Files that are listed again in one walk. */
export const MAX_RELISTED = 1000;

export type TransferDecision =
  /** Its storages are looked for. */
  | { readonly kind: "begin" }
  | { readonly kind: "relist"; readonly paths: readonly string[] }
  | { readonly kind: "close" }
  | { readonly kind: "complete" }
  /** Both sides of a comparison are hashed. */
  | { readonly kind: "compare" }
  | { readonly kind: "fail"; readonly reason: string }
  /** What was cancelled is confirmed: it is removed. */
  | { readonly kind: "remove" }
  | { readonly kind: "sweep" };

/** Pure. What follows from where it stands; `undefined`: workers are at it. `isLate`: its deadline is over. */
export function decideTransfer(
  transfer: Transfer,
  totals: Totals,
  { isLate }: { readonly isLate: boolean },
): TransferDecision | undefined {
  const { phase, list, close, discard, request, isSwept } = transfer;
  switch (phase) {
    case "completed":
      return isSwept ? undefined : { kind: "sweep" };
    case "failed":
      return undefined;
    case "cancelling":
      return discard.isDone || leavesNothing(transfer) ? { kind: "remove" } : undefined;
    case "queued":
      return isLate ? tooLate(request.deadline) : { kind: "begin" };
    case "active": {
      if (isLate) return tooLate(request.deadline);
      if (transfer.mode === "plain") {
        if (totals.open > 0) return undefined;
        return totals.failuresTotal === 0 ? { kind: "complete" } : { kind: "fail", reason: failureReason(totals) };
      }
      const [unlisted] = transfer.failures;
      if (list.isDone && unlisted !== undefined) return { kind: "fail", reason: unlisted.message };
      const failed = totals.failuresTotal - totals.leftOutTotal;
      if (!list.isDone || totals.open > 0) return undefined;
      if (request.mode === "verify") return { kind: "compare" };
      const mayRelist = list.round + 1 < MAX_ROUNDS && totals.changed.length <= MAX_RELISTED;
      if (totals.changed.length > 0 && mayRelist) return { kind: "relist", paths: totals.changed };
      // A tree that is not whole is not closed: nothing is deleted for the sake of it.
      return failed > 0 ? { kind: "fail", reason: failureReason(totals) } : { kind: "close" };
    }
    case "closing":
      if (!close.isDone) return undefined;
      return transfer.failures.length === 0
        ? { kind: "complete" }
        : { kind: "fail", reason: transfer.failures.at(-1)?.message ?? "it could not be closed" };
  }
}

/** Pure. Whether no worker stages anything for it that would have to be removed. */
export function leavesNothing({
  destination,
  mode,
  request,
}: Pick<Transfer, "destination" | "mode" | "request">): boolean {
  return destination === undefined || mode === "plain" || request.mode === "verify";
}

function tooLate(deadline: string | undefined): TransferDecision {
  return { kind: "fail", reason: `it was not done by its deadline, ${deadline ?? ""}` };
}

export function failureReason(
  { failuresTotal, leftOutTotal, failures: [first] }: Totals,
  what: "copied" | "compared" = "copied",
): string {
  const count = failuresTotal - leftOutTotal;
  const where = first === undefined || first.path === "" ? "" : `${first.path}: `;
  const which = first === undefined ? "" : `, the first: ${where}${first.code}: ${first.message}`;
  return `${count} ${count === 1 ? "thing" : "things"} could not be ${what}${which}`;
}
