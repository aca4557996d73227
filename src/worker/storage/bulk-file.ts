import { fstatSync, read, readSync, write, writeSync } from "node:fs";
import { promisify } from "node:util";
import type { Clock } from "../../base/clock.ts";

/**
 * Pieces of one file, read or written. Where the system answers from memory that is done at once: to hand a piece to another thread and to be
 * woken by it costs more than the copy. Where a disk is waited for, other threads wait.
 */
export interface BulkFile {
  /** What comes next is done at once, and everything else waits: nothing is won by asking for it early. */
  isDirect(): boolean;
  /** Resolves with how many bytes there are: fewer than asked for only where the file ends. */
  read(into: Buffer, position: number): Promise<number>;
  write(bytes: Buffer, position: number): Promise<void>;
}

/** Of one worker: what is seen of a file by one who moves pieces of it is known to all who do. */
export interface BulkFiles {
  /** `isElsewhere`: this thread has the most to do, and what memory answers is left to others, too. */
  of(fd: number, isElsewhere: () => boolean): BulkFile;
}

/** What all who move pieces of one file know of it. */
interface SharedFileState {
  /** So many more are done elsewhere before one is tried here. */
  elsewhere: number;
  nextElsewhere: number;
  slow: number;
  /** The system lets one write to a file at a time, and threads that wait for that spin, this one with them: they write in turn. */
  writing: Promise<unknown> | undefined;
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
/** Files that are remembered. */
const MOST_KNOWN = 256;
const readOnce = promisify(read);
const writeOnce = promisify(write);

export function createBulkFiles(clock: Pick<Clock, "monotonicMs">): BulkFiles {
  const known = new Map<string, SharedFileState>();
  const sharedStateOf = (fd: number): SharedFileState => {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const id = `${dev}:${ino}`;
    // Nobody knows yet what is behind a new one.
    const shared = known.get(id) ?? { elsewhere: 1, nextElsewhere: LEAST_ELSEWHERE, slow: 0, writing: undefined };
    known.delete(id);
    known.set(id, shared);
    const [oldest] = known.keys();
    if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
    return shared;
  };
  return { of: (fd, isElsewhere) => createBulkFile(fd, { clock, shared: sharedStateOf(fd), isElsewhere }) };
}

interface BulkFileOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly shared: SharedFileState;
  readonly isElsewhere: () => boolean;
}

function createBulkFile(fd: number, { clock, shared, isElsewhere }: BulkFileOptions): BulkFile {
  let onEnd = 0;
  const isHereNow = () => shared.elsewhere === 0 && !isElsewhere();
  const whole = async (
    length: number,
    step: (done: number) => number,
    stepElsewhere: (done: number) => Promise<number>,
  ): Promise<number> => {
    const isHere = isHereNow();
    if (!isHere && shared.elsewhere > 0) shared.elsewhere -= 1;
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
    if (isHere) shared.slow = tookMs > QUICK_MS ? shared.slow + 1 : 0;
    if (shared.slow === SLOW_ONES || (!isHere && shared.elsewhere === 0 && tookMs > TRIED_MS)) {
      shared.elsewhere = shared.nextElsewhere;
      shared.nextElsewhere = Math.min(2 * shared.nextElsewhere, MOST_ELSEWHERE);
      shared.slow = 0;
    } else if (isHere && shared.slow === 0) shared.nextElsewhere = LEAST_ELSEWHERE;
    return done;
  };
  const inTurn = async <T>(one: () => Promise<T>): Promise<T> => {
    while (shared.writing !== undefined) await shared.writing;
    const done = one();
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    shared.writing = settled;
    try {
      return await done;
    } finally {
      if (shared.writing === settled) shared.writing = undefined;
    }
  };
  return {
    isDirect: isHereNow,
    read: (into, position) =>
      whole(
        into.length,
        (done) => readSync(fd, into, done, into.length - done, position + done),
        async (done) => (await readOnce(fd, into, done, into.length - done, position + done)).bytesRead,
      ),
    write: (bytes, position) => {
      const one = async () => {
        await whole(
          bytes.length,
          (done) => writeSync(fd, bytes, done, bytes.length - done, position + done),
          async (done) => (await writeOnce(fd, bytes, done, bytes.length - done, position + done)).bytesWritten,
        );
      };
      // Each turn is given by this thread: one that is busy would give them late.
      return isElsewhere() ? one() : inTurn(one);
    },
  };
}
