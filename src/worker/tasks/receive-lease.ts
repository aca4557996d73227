import type { CopyItem } from "../../contract/transfer/assignment.ts";
import { type ReceiveDeps, receiveItems } from "../receive/receive-items.ts";
import { stagingAttempt } from "../storage/staging.ts";
import { itemKeyOf } from "../wire/item-hash.ts";
import { bothPaces } from "../wire/pace.ts";
import type { Task, TaskContext, TaskOutcome } from "./task-context.ts";

/**
 * Of what is still to come: before the source has sent it, the next lease is asked for, and the source asked for its bytes. Where a rate
 * holds it, no more than two windows: what is asked for any earlier waits, and shares the rate with what could end.
 */
const AHEAD_BYTES = 8 * 1024 * 1024;

export interface ReceiveLeaseDeps {
  readonly context: TaskContext;
  /** Of the destination's storage, held open. */
  readonly root: number;
  readonly open: ReceiveDeps["open"];
  /** Of all rounds of the lease: what one brings again after a break is told once. */
  readonly told: { bytes: number };
  /** Again: nothing. */
  readonly onNearlyDone: () => void;
}

/**
 * Brings what the outcome does not have of a lease to the destination, over the link that is opened for it, no faster than its request and this
 * worker may.
 */
export async function receiveLease(task: Task<"copy">, outcome: TaskOutcome, deps: ReceiveLeaseDeps): Promise<void> {
  const { work, assignment, signal } = task;
  const { context, root, open, told } = deps;
  const done = new Set(outcome.items.map(({ path, offset }) => `${offset} ${path}`));
  const failed = new Set(outcome.failures.map(({ path }) => path));
  const isLost = ({ entry }: CopyItem) => failed.has(entry.path);
  const skips = new Set(work.items.filter((item) => isLost(item) || done.has(`${item.offset} ${item.entry.path}`)));
  const most = bytesOf(work.items.filter((item) => !isLost(item)));
  let left = bytesOf(work.items.filter((item) => !skips.has(item)));
  const pace = bothPaces(task.pace, context.receivePace);
  const { windowBytes, leave } = pace.join();
  try {
    await receiveItems(
      {
        requestId: assignment.request_id,
        unit: work.unit,
        attempt: stagingAttempt(assignment),
        place: work.destination.path,
        // The ticket opens all of them together.
        items: work.items,
        skips,
        verify: work.verify,
        key: itemKeyOf(assignment.lease_id),
        preserve: work.preserve,
      },
      outcome,
      {
        clock: context.clock,
        bulkFiles: context.bulkFiles,
        runProgram: context.runProgram,
        pid: context.pid,
        root,
        open,
        pace,
        windowBytes,
        signal,
        onBytes: (bytes) => {
          left -= bytes;
          const more = most - left - told.bytes;
          if (more > 0) {
            told.bytes += more;
            task.onBytes(more);
          }
          if (left > Math.min(AHEAD_BYTES, 2 * windowBytes())) return;
          deps.onNearlyDone();
          task.onNearlyDone();
        },
      },
    );
  } finally {
    leave();
  }
}

function bytesOf(items: readonly CopyItem[]): number {
  return items.reduce((sum, { length }) => sum + length, 0);
}
