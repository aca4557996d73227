import type { CopyItem } from "../contract/transfer/assignment.ts";
import { itemKeyOf } from "./item-hash.ts";
import { bothPaces } from "./pace.ts";
import { type ReceiveDeps, receiveItems } from "./receive-items.ts";
import { stagingAttempt } from "./staging.ts";
import type { Task, TaskContext, TaskOutcome } from "./task-context.ts";

/** Of what is still to come: before the source has sent it, the next lease is asked for, and the source asked for its bytes. */
const AHEAD_BYTES = 8 * 1024 * 1024;

export interface ReceiveLeaseDeps {
  readonly context: TaskContext;
  /** Of the destination's storage, held open. */
  readonly root: number;
  /** Items that are settled. */
  readonly skips: ReadonlySet<CopyItem>;
  readonly open: ReceiveDeps["open"];
  readonly onBytes: (bytes: number) => void;
  /** Again: nothing. */
  readonly onNearlyDone: () => void;
}

/** Brings the items of a lease to the destination over the link that is opened for it, no faster than its request and this worker may. */
export async function receiveLease(task: Task<"copy">, outcome: TaskOutcome, deps: ReceiveLeaseDeps): Promise<void> {
  const { work, assignment, signal } = task;
  const { context, root, skips, open } = deps;
  let left = work.items.reduce((sum, item) => sum + (skips.has(item) ? 0 : item.length), 0);
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
      pace: bothPaces(task.pace, context.receivePace),
      signal,
      onBytes: (bytes) => {
        left -= bytes;
        deps.onBytes(bytes);
        task.onBytes(bytes);
        if (left > AHEAD_BYTES) return;
        deps.onNearlyDone();
        task.onNearlyDone();
      },
    },
  );
}
