import { Writable } from "node:stream";
import type { AppError } from "../base/errors.ts";
import { MAX_DATA_BYTES } from "./frame.ts";
import { createPipeDigest, type PipeDigest } from "./pipe-digest.ts";

/** The sending end of a pipe: what is written waits here until credit, the link and its turn allow it to go. */
export interface PipeWriter {
  readonly stream: Writable;
  /** Something can go now. */
  readonly isReady: boolean;
  /** Nothing waits to go, and nothing of what was written is still on its way here. */
  readonly isEmpty: boolean;
  readonly isFinished: boolean;
  /** Bytes that have gone. */
  readonly total: number;
  /** Written, and not gone. */
  readonly queuedBytes: number;
  /** How much more the reader lets come. */
  readonly creditBytes: number;
  readonly digest: PipeDigest | undefined;
  /** The next bytes that go, or the end; `undefined`: nothing can. */
  take(maxBytes: number): { readonly bytes: Uint8Array } | "fin" | undefined;
  grant(upTo: number): void;
  /** The reader is gone: what is written goes nowhere, and its end is still told. */
  stop(): void;
  fail(error: AppError): void;
}

const HIGH_WATER_BYTES = 256 * 1024;

export function createPipeWriter(
  { hasDigest, grantedTo: first }: { readonly hasDigest: boolean; readonly grantedTo: number },
  onReady: () => void,
): PipeWriter {
  const digest = hasDigest ? createPipeDigest() : undefined;
  let pending: Uint8Array[] = [];
  let index = 0;
  let offset = 0;
  let onTaken: (() => void) | undefined;
  let onFinal: (() => void) | undefined;
  let isFinished = false;
  let isStopped = false;
  let grantedTo = first;
  let total = 0;
  /** Of what the stream still counts as written and not gone. */
  let goneOfBatch = 0;

  const queue = (chunks: Uint8Array[], done: () => void) => {
    if (isStopped) return done();
    pending = chunks;
    index = 0;
    offset = 0;
    goneOfBatch = 0;
    onTaken = done;
    onReady();
  };
  const settle = () => {
    const done = onTaken;
    pending = [];
    goneOfBatch = 0;
    onTaken = undefined;
    done?.();
  };

  const stream = new Writable({
    highWaterMark: HIGH_WATER_BYTES,
    decodeStrings: true,
    write: (chunk: Uint8Array, _encoding, done) => (chunk.length === 0 ? done() : queue([chunk], done)),
    writev: (chunks, done) => queue(merge(chunks.map(({ chunk }) => chunk as Uint8Array)), done),
    final: (done) => {
      onFinal = done;
      onReady();
    },
    destroy: (error, done) => {
      pending = [];
      onTaken = undefined;
      done(error);
    },
  });
  // Whoever writes hears of an error by the channel; an unheard one must not end the process.
  stream.on("error", () => undefined);

  const hasBytes = () => index < pending.length;
  const writer: PipeWriter = {
    stream,
    get isReady() {
      return hasBytes() ? grantedTo > total : onFinal !== undefined && !isFinished;
    },
    get isEmpty() {
      return !hasBytes() && stream.writableLength === 0;
    },
    get isFinished() {
      return isFinished;
    },
    get total() {
      return total;
    },
    get queuedBytes() {
      return isStopped || stream.destroyed ? 0 : stream.writableLength - goneOfBatch;
    },
    get creditBytes() {
      return grantedTo - total;
    },
    digest,
    take: (maxBytes) => {
      const chunk = pending[index];
      if (chunk === undefined) {
        if (onFinal === undefined || isFinished) return undefined;
        isFinished = true;
        // After the frame is on its way, not before.
        queueMicrotask(onFinal);
        return "fin";
      }
      const size = Math.min(chunk.length - offset, grantedTo - total, maxBytes, MAX_DATA_BYTES);
      if (size <= 0) return undefined;
      const bytes = chunk.subarray(offset, offset + size);
      offset += size;
      total += size;
      goneOfBatch += size;
      digest?.add(bytes);
      if (offset === chunk.length) {
        index += 1;
        offset = 0;
      }
      if (!hasBytes()) settle();
      return { bytes };
    },
    grant: (upTo) => {
      if (upTo <= grantedTo) return;
      grantedTo = upTo;
      if (writer.isReady) onReady();
    },
    stop: () => {
      if (isStopped) return;
      isStopped = true;
      index = pending.length;
      stream.emit("stopped");
      settle();
    },
    fail: (error) => {
      isFinished = true;
      stream.destroy(error);
    },
  };
  return writer;
}

/** Many small writes go as few frames. */
function merge(chunks: readonly Uint8Array[]): Uint8Array[] {
  const merged: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let bytes = 0;
  const flush = () => {
    if (small.length > 0) merged.push(small.length === 1 && small[0] !== undefined ? small[0] : Buffer.concat(small));
    small = [];
    bytes = 0;
  };
  for (const chunk of chunks) {
    if (chunk.length === 0) continue;
    if (bytes + chunk.length > MAX_DATA_BYTES) flush();
    small.push(chunk);
    bytes += chunk.length;
  }
  flush();
  return merged;
}
