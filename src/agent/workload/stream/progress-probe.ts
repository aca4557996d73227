import { errnoOf } from "../../../base/errors.ts";
import type { MediaProbe } from "../driver.ts";
import { createProgressParser } from "./progress.ts";
import type { ProgressDisk } from "./stream-disk.ts";

/** Above this the file is emptied; FFmpeg appends, so it goes on at its start. About ten minutes of blocks. */
export const MAX_PROGRESS_BYTES = 256 * 1024;
const READ_BYTES = 32 * 1024;
/** What an adopted process wrote long ago does not matter: enough for several blocks is read from the end. */
const TAIL_BYTES = 8 * 1024;

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
      parser.feed(shared.subarray(0, count), modifiedWallMs);
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
