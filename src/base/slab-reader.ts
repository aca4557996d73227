/** Of one piece of memory that reads fill one after the other. What was read of it keeps it, and nobody writes there again. */
const SLAB_BYTES = 256 * 1024;
/** Less is not worth a read. */
const LEAST_READ_BYTES = 32 * 1024;
/** So many short reads one after the other, and a connection is busy no more. */
const CALM_READS = 16;
/** Of all connections that are not busy: what is read is copied out before the next one reads, so that they hold none. */
let shared: Buffer | undefined;

/** `onread` of a socket. */
export interface SlabReader {
  buffer(): Uint8Array;
  callback(count: number, memory: Uint8Array): boolean;
}

/** Large reads without memory of their own for each, which would cost more than to read it. False of `take`: no more until the socket is resumed. */
export function createSlabReader(take: (bytes: Buffer) => boolean): SlabReader {
  let slab = Buffer.alloc(0);
  let calmReads = CALM_READS;
  return {
    buffer: () => {
      if (calmReads >= CALM_READS) {
        shared ??= Buffer.allocUnsafeSlow(SLAB_BYTES);
        return shared;
      }
      if (slab.length < LEAST_READ_BYTES) slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      return slab;
    },
    callback: (count, memory) => {
      calmReads = count < LEAST_READ_BYTES ? calmReads + 1 : 0;
      if (memory === shared) return take(Buffer.from(shared.subarray(0, count)));
      const bytes = slab.subarray(0, count);
      slab = calmReads >= CALM_READS ? Buffer.alloc(0) : slab.subarray(count);
      return take(bytes);
    },
  };
}
