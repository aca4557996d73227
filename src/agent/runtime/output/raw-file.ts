import { closeSync, constants, fstatSync, openSync, readSync, truncateSync } from "node:fs";
import { errnoOf } from "../../../base/errors.ts";

/**
 * The reading end of a file that a session appends to. It is never cut off, for what is written between a look and a cut would be lost;
 * its beginning is given back to the file system instead, so that only its length grows.
 */
export interface RawFile {
  readonly path: string;
  /** Undefined while there is none. Another file under its name is not looked for: nobody but the session's end removes it. */
  size(): number | undefined;
  inode(): number;
  /** Bytes read into `buffer` from `offset` on. */
  read(buffer: Buffer, offset: number): number;
  /** Where what was not given back begins, as far as the file system tells. */
  dataStart(): number;
  /** Removes all of it. */
  cutOff(): void;
  close(): void;
}

const BLOCK_BYTES = 512;

export function createRawFile(path: string): RawFile {
  let fd: number | undefined;
  const open = (): number | undefined => {
    try {
      fd ??= openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (thrown) {
      // Nothing was launched yet, or no descriptor is free at the moment: the next look tries again.
      if (errnoOf(thrown) === undefined) throw thrown;
    }
    return fd;
  };
  return {
    path,
    size: () => {
      const source = open();
      return source === undefined ? undefined : fstatSync(source).size;
    },
    inode: () => {
      const source = open();
      return source === undefined ? 0 : fstatSync(source).ino;
    },
    read: (buffer, offset) => {
      const source = open();
      return source === undefined ? 0 : readSync(source, buffer, 0, buffer.length, offset);
    },
    dataStart: () => {
      const source = open();
      if (source === undefined) return 0;
      const { size, blocks } = fstatSync(source);
      return Math.max(0, size - blocks * BLOCK_BYTES);
    },
    cutOff: () => truncateSync(path, 0),
    close: () => {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}
