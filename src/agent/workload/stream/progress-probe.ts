import { errnoOf } from "../../../base/errors.ts";
import type { MediaProbe } from "../driver.ts";
import { createProgressParser } from "./progress.ts";
import type { ProgressDisk } from "./stream-disk.ts";

/** Above this the file is emptied; FFmpeg appends, so it goes on at its start. About ten minutes of blocks. */
export const MAX_PROGRESS_BYTES = 256 * 1024;
const READ_BYTES = 32 * 1024;
/** What an adopted process wrote long ago does not matter: enough for several blocks is read from the end. */
const TAIL_BYTES = 8 * 1024;
/** Begins the last line of a block. */
const BLOCK_END = "\nprogress=";

/** One read buffer serves all probes: reads are synchronous and leave nothing in it. */
const shared = Buffer.alloc(READ_BYTES);

/**
 * Follows the file to which FFmpeg appends its progress. A file that cannot be opened or read gives no sample and is tried
 * again with the next one.
 */
export function createProgressProbe(path: string, disk: ProgressDisk): MediaProbe {
  const parser = createProgressParser();
  let fd: number | undefined;
  let offset = 0;
  let isClosed = false;

  const close = () => {
    if (fd !== undefined) disk.close(fd);
    fd = undefined;
  };

  const open = (): number | undefined => {
    if (fd !== undefined) return fd;
    fd = disk.open(path);
    if (fd === undefined) return undefined;
    offset = Math.max(0, disk.stat(fd).sizeBytes - TAIL_BYTES);
    if (offset > 0) parser.resync();
    return fd;
  };

  const readNew = (file: number) => {
    const { sizeBytes, modifiedWallMs } = disk.stat(file);
    if (sizeBytes < offset) {
      // Somebody else emptied it.
      offset = 0;
      parser.resync();
    }
    while (offset < sizeBytes) {
      const count = disk.read(file, shared, offset);
      if (count === 0) break;
      const start = offset + count < sizeBytes ? 0 : lastBlockStart(shared.subarray(0, count));
      if (start > 0) parser.skipToBlock();
      parser.feed(shared.subarray(start, count), modifiedWallMs);
      offset += count;
    }
    if (offset > MAX_PROGRESS_BYTES) {
      disk.truncate(file);
      offset = 0;
      // A block may have been written between the read and the cut.
      parser.resync();
    }
  };

  return {
    sample: () => {
      if (isClosed) return parser.latest();
      try {
        const file = open();
        if (file !== undefined) readNew(file);
      } catch (thrown) {
        if (errnoOf(thrown) === undefined) throw thrown;
        close();
      }
      return parser.latest();
    },
    close: () => {
      isClosed = true;
      close();
    },
  };
}

/** Only the newest of several blocks counts. 0 where none ends before the last one. */
function lastBlockStart(bytes: Buffer): number {
  const last = bytes.lastIndexOf(BLOCK_END);
  const before = last < 0 ? -1 : bytes.lastIndexOf(BLOCK_END, last - 1);
  const lineEnd = before < 0 ? -1 : bytes.indexOf("\n", before + BLOCK_END.length);
  return lineEnd < 0 || lineEnd > last ? 0 : lineEnd + 1;
}
