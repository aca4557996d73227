import { Socket, type SocketConstructorOpts } from "node:net";

/** A connection that is read into memory of its own, again and again: Node's stream would take new memory for every read. */
export interface RawReader {
  /** What is to be used in the place of the connection that was given. */
  readonly socket: Socket;
}

/** What a connection has that is not busy. */
const SMALL_BYTES = 16 * 1024;
const LARGE_BYTES = 256 * 1024;
/** So many small reads one after the other, and it is busy no more. */
const CALM_READS = 16;

/** The part of a connection's inner life that lets another object take its place: Node documents no other way for one that was accepted. */
interface HandleOwner {
  _handle: { readonly useUserBuffer?: unknown } | null;
}

/**
 * Takes over an accepted connection, which has given `first` and nothing else is to come of it. `take` gets what was read, in memory that
 * is written again after it was called: with `false` nothing more is read until `resume`. Where Node does not allow it, the stream's own
 * memory is used.
 */
export function readRaw(given: Socket, take: (bytes: Uint8Array) => boolean): RawReader {
  const owner = given as unknown as HandleOwner;
  const handle = owner._handle;
  if (handle === null || typeof handle.useUserBuffer !== "function") {
    given.allowHalfOpen = true;
    given.on("data", (bytes: Uint8Array) => {
      if (!take(bytes)) given.pause();
    });
    return { socket: given };
  }
  let memory = Buffer.allocUnsafeSlow(SMALL_BYTES);
  let calmReads = 0;
  const next = (): Buffer => {
    if (memory.length === LARGE_BYTES && calmReads >= CALM_READS) memory = Buffer.allocUnsafeSlow(SMALL_BYTES);
    else if (memory.length === SMALL_BYTES && calmReads < 0) memory = Buffer.allocUnsafeSlow(LARGE_BYTES);
    return memory;
  };
  owner._handle = null;
  const options = {
    handle,
    allowHalfOpen: true,
    // Nothing is read before somebody resumes.
    manualStart: true,
    onread: {
      buffer: next,
      callback: (count: number, bytes: Uint8Array): boolean => {
        calmReads = count === memory.length ? -1 : count <= SMALL_BYTES ? Math.max(calmReads, 0) + 1 : 0;
        return take(bytes.subarray(0, count));
      },
    },
  };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  given.destroy();
  return { socket };
}
