import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { Readable, Writable } from "node:stream";

/**
 * What a detached command has written and nobody has read: on disk, bounded, the oldest dropped and counted. While somebody reads
 * nothing is dropped: the command waits for its reader, as it does for any other.
 */
export interface OutputSpool {
  readonly target: Writable;
  /** From the oldest byte that is left, then what comes. An earlier reader ends. */
  read(): Readable;
  /** Before what the next reader gets. */
  readonly droppedBytes: number;
  /** Nobody will read it any more. */
  remove(): void;
}

const READ_BYTES = 64 * 1024;

export function createOutputSpool(path: string, capacityBytes: number): OutputSpool {
  const file = openSync(path, "w+", 0o600);
  // Without a name it goes with this process, whatever ends that.
  rmSync(path);
  let start = 0;
  let end = 0;
  let isEnded = false;
  let isClosed = false;
  let reader: { readonly stream: Readable; isHungry: boolean } | undefined;
  let waiting: (() => void) | undefined;

  const put = (bytes: Uint8Array) => {
    let offset = 0;
    while (offset < bytes.length) {
      const at = end % capacityBytes;
      const room = Math.min(bytes.length - offset, capacityBytes - at);
      writeSync(file, bytes, offset, room, at);
      offset += room;
      end += room;
    }
    start = Math.max(start, end - capacityBytes);
  };
  const feed = () => {
    const current = reader;
    if (current === undefined || isClosed) return;
    while (current.isHungry && start < end) {
      const at = start % capacityBytes;
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - start, capacityBytes - at));
      const got = readSync(file, buffer, 0, buffer.length, at);
      start += got;
      current.isHungry = current.stream.push(buffer.subarray(0, got));
    }
    const go = waiting;
    waiting = undefined;
    go?.();
    if (start === end && isEnded && current.isHungry) {
      current.isHungry = false;
      current.stream.push(null);
    }
  };
  const write = (bytes: Uint8Array, done: (error?: Error | null) => void) => {
    if (isClosed) return done();
    const isRoom = end + bytes.length - start <= capacityBytes;
    if (reader !== undefined && !isRoom) {
      // Its reader goes on, or goes: either way this is asked again.
      waiting = () => write(bytes, done);
      return;
    }
    try {
      put(bytes);
    } catch (thrown) {
      return done(thrown instanceof Error ? thrown : undefined);
    }
    feed();
    done();
  };
  const leave = (gone: Readable) => {
    if (reader?.stream !== gone) return;
    reader = undefined;
    const go = waiting;
    waiting = undefined;
    go?.();
  };

  const target = new Writable({
    highWaterMark: READ_BYTES,
    write: (bytes: Uint8Array, _encoding, done) => write(bytes, done),
    final: (done) => {
      isEnded = true;
      feed();
      done();
    },
  });
  target.on("error", () => undefined);

  return {
    target,
    get droppedBytes() {
      return start;
    },
    read: () => {
      reader?.stream.destroy();
      const stream: Readable = new Readable({
        highWaterMark: READ_BYTES,
        read: () => {
          if (reader?.stream !== stream) return;
          reader.isHungry = true;
          feed();
        },
        destroy: (error, done) => {
          leave(stream);
          done(error);
        },
      });
      reader = { stream, isHungry: false };
      return stream;
    },
    remove: () => {
      if (isClosed) return;
      isClosed = true;
      reader?.stream.destroy();
      closeSync(file);
    },
  };
}
