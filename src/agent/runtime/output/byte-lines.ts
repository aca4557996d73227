/**
 * Cuts what one output of a session writes into lines: at `\n`, at `\r\n`, and at a `\r` alone, with which programs draw a line of progress anew.
 * Empty lines count. A line that is too long comes in pieces, so memory is bounded and nothing of it is lost.
 */
export interface ByteLines {
  push(bytes: Buffer): ByteLine[];
  /** What stands there without a line end, and forgets it: nothing more comes. */
  rest(): ByteLine[];
  /**
   * So many bytes are missing from here: what came of this line before is lost with them, and what still comes of it, as far as it may
   * be the end of a secret.
   */
  skip(bytes: number): void;
  /** Bytes lost before the lines of the last `push`, once; 0 while they are still being lost. */
  takeLost(): number;
  /** What came, or was skipped, and is neither in a line nor told as lost yet. */
  heldBytes(): number;
  /** The line before ended with `\r`: a `\n` that comes next belongs to it. */
  isAfterReturn(): boolean;
}

export interface ByteLine {
  /** Lent, as what was pushed is: until the next push. */
  readonly bytes: Buffer;
  /** It goes on in the next piece. */
  readonly continues: boolean;
}

export interface ByteLinesOptions {
  /** Held at most until a piece is cut off. */
  readonly maxHeldBytes: number;
  /** Where to cut what is held: how many bytes of it are the piece, at least one. */
  readonly cutAt: (held: Buffer) => number;
  /** Lost at most after a gap, until the end of the line that it is in. */
  readonly maxSkippedBytes: number;
  readonly isAfterReturn?: boolean | undefined;
}

const LF = 10;
const CR = 13;

export function createByteLines({ maxHeldBytes, maxSkippedBytes, cutAt, ...options }: ByteLinesOptions): ByteLines {
  let parts: Buffer[] = [];
  let heldBytes = 0;
  let isAfterReturn = options.isAfterReturn ?? false;
  /** What may still be lost after a gap. */
  let toSkipBytes = 0;
  /** Lost since the gap, behind the bytes that it is of. */
  let skippedBytes = 0;
  let lostBytes = 0;

  const held = () => (parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts));
  const keep = (bytes: Buffer) => {
    parts = bytes.length === 0 ? [] : [bytes];
    heldBytes = bytes.length;
  };
  /** Copied: the caller reads into the same buffer again. */
  const hold = (bytes: Buffer, lines: ByteLine[]) => {
    const skipped = Math.min(toSkipBytes, bytes.length);
    toSkipBytes -= skipped;
    skippedBytes += skipped;
    for (let from = skipped; from < bytes.length; ) {
      const part = bytes.subarray(from, from + maxHeldBytes - heldBytes);
      parts.push(Buffer.from(part));
      heldBytes += part.length;
      from += part.length;
      if (heldBytes < maxHeldBytes) continue;
      const all = held();
      const cut = cutAt(all);
      lines.push({ bytes: all.subarray(0, cut), continues: true });
      keep(all.subarray(cut));
    }
  };
  const complete = (end: number, lines: ByteLine[]) => {
    if (toSkipBytes > 0) {
      toSkipBytes = 0;
      skippedBytes += 1;
    } else if (end === CR ? heldBytes > 0 : heldBytes > 0 || !isAfterReturn) {
      lines.push({ bytes: held(), continues: false });
    } else if (end === CR) {
      // Nothing to draw anew: what it belongs to is decided by what comes next.
      return;
    }
    keep(Buffer.alloc(0));
    isAfterReturn = end === CR;
  };

  return {
    heldBytes: () => heldBytes + (toSkipBytes > 0 ? lostBytes + skippedBytes : 0),
    isAfterReturn: () => isAfterReturn,
    push: (bytes) => {
      const lines: ByteLine[] = [];
      let start = 0;
      let nextCr = bytes.indexOf(CR);
      let nextLf = bytes.indexOf(LF);
      while (nextCr >= 0 || nextLf >= 0) {
        const end = nextCr < 0 || (nextLf >= 0 && nextLf < nextCr) ? nextLf : nextCr;
        if (end > start && end - start < maxHeldBytes && heldBytes === 0 && toSkipBytes === 0) {
          lines.push({ bytes: bytes.subarray(start, end), continues: false });
          isAfterReturn = bytes[end] === CR;
        } else {
          hold(bytes.subarray(start, end), lines);
          if (end > start) isAfterReturn = false;
          complete(bytes[end] ?? LF, lines);
        }
        start = end + 1;
        if (nextCr === end) nextCr = bytes.indexOf(CR, start);
        if (nextLf === end) nextLf = bytes.indexOf(LF, start);
      }
      hold(bytes.subarray(start), lines);
      if (start < bytes.length) isAfterReturn = false;
      return lines;
    },
    rest: () => {
      const lines = heldBytes === 0 ? [] : [{ bytes: held(), continues: false }];
      keep(Buffer.alloc(0));
      toSkipBytes = 0;
      return lines;
    },
    skip: (bytes) => {
      lostBytes += bytes + heldBytes;
      keep(Buffer.alloc(0));
      isAfterReturn = false;
      toSkipBytes = maxSkippedBytes;
    },
    takeLost: () => {
      if (toSkipBytes > 0) return 0;
      const lost = lostBytes + skippedBytes;
      lostBytes = 0;
      skippedBytes = 0;
      return lost;
    },
  };
}
