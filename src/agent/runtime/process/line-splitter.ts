/** Cuts bytes into lines at `\n` and `\r` (FFmpeg ends status lines with the latter). Memory is bounded by `maxBytes`. */
export interface LineSplitter {
  push(bytes: Buffer): SplitLine[];
  /** What stands there without a line end, and forgets it. */
  rest(): SplitLine | undefined;
  /** Bytes are missing from here: drops what came before and what comes next, up to a line end. */
  skip(): void;
}

export interface SplitLine {
  readonly text: string;
  /** The line went on: the rest of it was thrown away. */
  readonly isCut: boolean;
}

const LF = 10;
const CR = 13;

export function createLineSplitter(options: { readonly maxBytes: number }): LineSplitter {
  let parts: Buffer[] = [];
  let heldBytes = 0;
  let isCut = false;
  let isSkipping = false;

  const hold = (bytes: Buffer) => {
    const room = options.maxBytes - heldBytes;
    if (bytes.length > room) isCut = true;
    if (room <= 0 || bytes.length === 0) return;
    // Copied: the caller reads into the same buffer again.
    parts.push(Buffer.from(bytes.subarray(0, room)));
    heldBytes += Math.min(bytes.length, room);
  };
  const take = (): SplitLine | undefined => {
    const line = heldBytes === 0 || isSkipping ? undefined : { text: Buffer.concat(parts).toString("utf8"), isCut };
    parts = [];
    heldBytes = 0;
    isCut = false;
    isSkipping = false;
    return line;
  };

  return {
    push: (bytes) => {
      const lines: SplitLine[] = [];
      let start = 0;
      let nextCr = bytes.indexOf(CR);
      let nextLf = bytes.indexOf(LF);
      while (nextCr >= 0 || nextLf >= 0) {
        const end = nextCr < 0 || (nextLf >= 0 && nextLf < nextCr) ? nextLf : nextCr;
        hold(bytes.subarray(start, end));
        const line = take();
        if (line !== undefined) lines.push(line);
        start = end + 1;
        if (nextCr === end) nextCr = bytes.indexOf(CR, start);
        if (nextLf === end) nextLf = bytes.indexOf(LF, start);
      }
      hold(bytes.subarray(start));
      return lines;
    },
    rest: take,
    skip: () => {
      take();
      isSkipping = true;
    },
  };
}
