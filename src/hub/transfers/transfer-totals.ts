import { MAX_SHOWN_FAILURES } from "../../contract/transfer/sync-progress.ts";
import type { Transfer } from "./transfer-record.ts";
import { isReplaced, type PieceSummary } from "./unit-states.ts";

export interface Totals {
  readonly bytes: number;
  readonly files: number;
  readonly open: number;
  /** At most as many as are shown. */
  readonly failures: Transfer["failures"];
  readonly failuresTotal: number;
  /** Of those: what no transfer copies, so that it is whole without them. */
  readonly leftOutTotal: number;
  /** What changed while it was copied, since the last walk. */
  readonly changed: readonly string[];
}

/** Pure. */
export function totalsOf(transfer: Transfer, summaries: readonly PieceSummary[]): Totals {
  const { round, unread, leftOut } = transfer.list;
  let bytes = 0;
  let files = 0;
  let open = 0;
  let failuresTotal = transfer.failures.length + (unread?.total ?? 0);
  const failures = [...transfer.failures, ...(unread?.first ?? [])].slice(0, MAX_SHOWN_FAILURES);
  const changed: string[] = [];
  for (const summary of summaries) {
    bytes += summary.bytesDone;
    files += summary.filesDone;
    open += summary.open;
    for (const failure of summary.failures) {
      if (isReplaced(failure, round)) continue;
      if (failure.code === "source-changed") changed.push(failure.path);
      failuresTotal++;
      const { path, code, message } = failure;
      if (failures.length < MAX_SHOWN_FAILURES) failures.push({ path, code, message });
    }
  }
  if (transfer.mode === "plain") {
    const steps = transfer.plain ?? [];
    files = steps.filter(({ isDone, failed }) => isDone && failed === 0).length;
    open = steps.filter(({ isDone }) => !isDone).length;
  }
  // After all that is wrong: they are told, and are no fault.
  const leftOutTotal = leftOut?.total ?? 0;
  failures.push(...(leftOut?.first ?? []).slice(0, MAX_SHOWN_FAILURES - failures.length));
  return { bytes, files, open, failures, failuresTotal: failuresTotal + leftOutTotal, leftOutTotal, changed };
}
