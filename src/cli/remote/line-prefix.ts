/** Puts a name before each line of an output, and never cuts a line in two. */
export interface LinePrefixer {
  /** Whole lines, each with its prefix; what has no end yet is kept. */
  push(bytes: Uint8Array): Uint8Array;
  /** What is left at the end, with an end of line. */
  flush(): Uint8Array;
}

/** A longer line is given out in parts, so that nothing is kept without bound. */
export const MAX_LINE_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
const END = Buffer.of(NEWLINE);
const NOTHING = Buffer.alloc(0);

export function createLinePrefixer(prefix: string): LinePrefixer {
  const before = Buffer.from(prefix);
  let kept = NOTHING;
  return {
    push(bytes) {
      const parts: Uint8Array[] = [];
      let rest = Buffer.concat([kept, bytes]);
      for (;;) {
        const at = rest.indexOf(NEWLINE);
        const isLong = at < 0 ? rest.length > MAX_LINE_BYTES : at > MAX_LINE_BYTES;
        if (isLong) {
          parts.push(before, rest.subarray(0, MAX_LINE_BYTES), END);
          rest = rest.subarray(MAX_LINE_BYTES);
        } else if (at >= 0) {
          parts.push(before, rest.subarray(0, at + 1));
          rest = rest.subarray(at + 1);
        } else {
          break;
        }
      }
      kept = rest;
      return Buffer.concat(parts);
    },
    flush() {
      const line = kept.length === 0 ? NOTHING : Buffer.concat([before, kept, END]);
      kept = NOTHING;
      return line;
    },
  };
}
