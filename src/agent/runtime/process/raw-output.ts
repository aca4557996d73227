import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../../../base/errors.ts";

/**
 * The reading end of a file that a child appends to. A reading that ends with a line empties the file: the child's next
 * write lands at its start, and a successor of this agent begins where this one ended. A reading that ends inside a line
 * empties nothing, so that a successor sees lines twice rather than half a line: half a secret is not recognised as one.
 * Between the last read and the truncation a write of those microseconds can be lost; the size is compared once more to
 * make that rare.
 */
export interface RawOutput {
  /** Reads what has come since the last time, in order. */
  read(reader: RawOutputReader): void;
  close(): void;
}

export interface RawOutputReader {
  /** The bytes are only lent. */
  take(bytes: Buffer): void;
  /** So many bytes were left out here, because more came than one reading takes. */
  skip(count: number): void;
}

export interface RawOutputOptions {
  readonly path: string;
  /** Of one reading; of more only the end is read. */
  readonly maxBytes: number;
}

const LF = 10;
const CR = 13;

export function createRawOutput(options: RawOutputOptions, buffer: Buffer): RawOutput {
  let fd: number | undefined;
  let offset = 0;

  const open = (): number | undefined => {
    try {
      fd ??= openSync(options.path, constants.O_RDWR | constants.O_NOFOLLOW);
    } catch (thrown) {
      // Nothing was written yet, or no descriptor is free at the moment: the next reading tries again.
      if (errnoOf(thrown) === undefined) throw thrown;
    }
    return fd;
  };

  return {
    read: (reader) => {
      const source = open();
      if (source === undefined) return;
      let sizeBytes = fstatSync(source).size;
      if (sizeBytes < offset) offset = 0;
      if (sizeBytes === offset) return;

      const tooMany = sizeBytes - offset - options.maxBytes;
      if (tooMany > 0) {
        offset += tooMany;
        reader.skip(tooMany);
      }
      const limit = offset + 2 * options.maxBytes;
      let lastByte = LF;
      while (offset < sizeBytes && offset < limit) {
        const count = readSync(source, buffer, 0, buffer.length, offset);
        if (count === 0) break;
        lastByte = buffer[count - 1] ?? LF;
        offset += count;
        reader.take(buffer.subarray(0, count));
        if (offset >= sizeBytes) sizeBytes = fstatSync(source).size;
      }
      const leftBytes = sizeBytes - offset;
      if (leftBytes > 0) reader.skip(leftBytes);
      else if (lastByte !== LF && lastByte !== CR && sizeBytes < options.maxBytes) return;
      ftruncateSync(source, 0);
      offset = 0;
    },
    close: () => {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}
