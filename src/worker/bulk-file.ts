import { read, readSync, write, writeSync } from "node:fs";
import { promisify } from "node:util";
import type { Clock } from "../base/clock.ts";

/**
 * Pieces of one file, read or written. Where the system answers from memory that is done at once: to hand a piece to another thread and to be
 * woken by it costs more than the copy, and threads that write to one file spin for its lock. Where a disk is waited for, other threads
 * wait.
 */
export interface BulkFile {
  /** What comes next is done at once, and everything else waits: nothing is won by asking for it early. */
  isDirect(): boolean;
  /** Resolves with how many bytes there are: fewer than asked for only where the file ends. */
  read(into: Buffer, position: number): Promise<number>;
  write(bytes: Buffer, position: number): Promise<void>;
}

/** A disk takes longer for a piece, memory does not. One that took longer may only have been kept from running: two on end have not. */
const QUICK_MS = 2;
const SLOW_ONES = 2;
/** One that took longer in another thread is not tried here: it may never come back. */
const TRIED_MS = 20;
/** After so many here everything else has its turn. */
const MOST_ON_END = 16;
/** So many are done elsewhere after those that were slow here; twice as many after each further time. */
const LEAST_ELSEWHERE = 8;
const MOST_ELSEWHERE = 256;
const readOnce = promisify(read);
const writeOnce = promisify(write);

export function createBulkFile(fd: number, clock: Pick<Clock, "monotonicMs">): BulkFile {
  // Nobody knows yet what is behind it.
  let elsewhere = 1;
  let nextElsewhere = LEAST_ELSEWHERE;
  let onEnd = 0;
  let slow = 0;
  const whole = async (
    length: number,
    step: (done: number) => number,
    stepElsewhere: (done: number) => Promise<number>,
  ): Promise<number> => {
    const isHere = elsewhere === 0;
    if (!isHere) elsewhere -= 1;
    onEnd = isHere ? onEnd + 1 : 0;
    if (onEnd > MOST_ON_END) {
      onEnd = 1;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const begunMs = clock.monotonicMs();
    let done = 0;
    while (done < length) {
      const count = isHere ? step(done) : await stepElsewhere(done);
      if (count === 0) break;
      done += count;
    }
    const tookMs = clock.monotonicMs() - begunMs;
    if (isHere) slow = tookMs > QUICK_MS ? slow + 1 : 0;
    if (slow === SLOW_ONES || (!isHere && elsewhere === 0 && tookMs > TRIED_MS)) {
      elsewhere = nextElsewhere;
      nextElsewhere = Math.min(2 * nextElsewhere, MOST_ELSEWHERE);
      slow = 0;
    } else if (isHere && slow === 0) nextElsewhere = LEAST_ELSEWHERE;
    return done;
  };
  return {
    isDirect: () => elsewhere === 0,
    read: (into, position) =>
      whole(
        into.length,
        (done) => readSync(fd, into, done, into.length - done, position + done),
        async (done) => (await readOnce(fd, into, done, into.length - done, position + done)).bytesRead,
      ),
    write: async (bytes, position) => {
      await whole(
        bytes.length,
        (done) => writeSync(fd, bytes, done, bytes.length - done, position + done),
        async (done) => (await writeOnce(fd, bytes, done, bytes.length - done, position + done)).bytesWritten,
      );
    },
  };
}
