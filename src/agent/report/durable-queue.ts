import { messageOf } from "../../base/errors.ts";
import { createLapRunner } from "../../base/lap-runner.ts";
import type { Log } from "../../base/log.ts";
import type { QueueFile } from "./queue-file.ts";
import {
  afterDelivery,
  afterGivingUp,
  EMPTY_QUEUE,
  enqueue,
  lineOf,
  parseQueue,
  type QueueEntry,
  type ReportQueue,
  type ReportQueueBounds,
  serializeQueue,
} from "./report-queue.ts";

/**
 * The queue in memory with its copy on disk. The disk follows as it can: when it refuses, the queue goes on in memory, says
 * so once, and writes everything with the next change that it takes. An empty queue has no file, and a queue that does not change writes nothing.
 */
export interface DurableQueue {
  /** Takes in what an earlier agent left. What was pushed before this is kept behind it. */
  load(): Promise<void>;
  push(entry: QueueEntry): void;
  view(): ReportQueue;
  delivered(entries: readonly QueueEntry[], dropped: number): void;
  /** Nobody will take `entry`: it counts as dropped. */
  giveUp(entry: QueueEntry): void;
  /** Resolves when the disk has been tried with all there is. */
  settled(): Promise<void>;
}

export function createDurableQueue(bounds: ReportQueueBounds, file: QueueFile, log: Log): DurableQueue {
  let queue = EMPTY_QUEUE;
  let unwritten: QueueEntry[] = [];
  let mustReplace = false;
  let hasFile = false;
  let isRefused = false;
  /** Nothing is written before the file has been read, or a push would be found again by the reading. */
  let isLoaded = false;

  /** False when there was nothing to be written: that proves nothing of the disk. */
  const write = async (): Promise<boolean> => {
    const added = unwritten;
    const replaces = mustReplace;
    unwritten = [];
    mustReplace = false;
    if (queue.entries.length === 0 && queue.dropped === 0) {
      if (hasFile) await file.remove();
      hasFile = false;
      return false;
    }
    if (!replaces && added.length === 0) return false;
    hasFile = true;
    if (replaces) await file.replace(serializeQueue(queue));
    else await file.append(added.map(lineOf).join(""));
    return true;
  };

  const disk = createLapRunner(async () => {
    try {
      const hasWritten = await write();
      if (hasWritten && isRefused) log.info("The queue of reports is on disk again");
      if (hasWritten) isRefused = false;
    } catch (thrown) {
      mustReplace = true;
      if (!isRefused) log.warn(`The queue of reports is kept in memory only: ${messageOf(thrown)}`);
      isRefused = true;
    }
  });

  const sync = () => {
    if (isLoaded) void disk.wake();
  };

  return {
    load: async () => {
      const text = await file.read().catch((thrown: unknown) => {
        log.warn(`The queue of reports could not be read: ${messageOf(thrown)}`);
        return undefined;
      });
      isLoaded = true;
      if (text !== undefined) {
        const { queue: found, isClean } = parseQueue(text);
        hasFile = true;
        mustReplace ||= !isClean || queue.entries.length > 0;
        const empty = { ...EMPTY_QUEUE, dropped: found.dropped + queue.dropped };
        queue = [...found.entries, ...queue.entries].reduce((held, entry) => enqueue(held, entry, bounds), empty);
      }
      if (mustReplace || unwritten.length > 0) await disk.wake();
    },
    push: (entry) => {
      const { dropped } = queue;
      queue = enqueue(queue, entry, bounds);
      unwritten.push(entry);
      mustReplace ||= queue.dropped !== dropped;
      sync();
    },
    view: () => queue,
    delivered: (entries, dropped) => {
      if (entries.length === 0 && dropped === 0) return;
      queue = afterDelivery(queue, entries, dropped);
      mustReplace = true;
      sync();
    },
    giveUp: (entry) => {
      queue = afterGivingUp(queue, entry);
      mustReplace = true;
      sync();
    },
    settled: () => disk.idle(),
  };
}
