/** What a piece of an SSE byte stream turned out to hold, in the order of the stream. */
export type FramedItem =
  /** A complete event with data: its lines ended by LF, the empty line included, without comments and `retry`. */
  | {
      readonly kind: "block";
      readonly bytes: Uint8Array;
      readonly eventName: string;
      /** `undefined`: no id in this event; `""`: it takes the id back. */
      readonly id: string | undefined;
    }
  /** A block that holds an id and no data: no event, but the last event id moves (WHATWG, rule for empty data). */
  | { readonly kind: "id"; readonly id: string }
  | { readonly kind: "comment"; readonly text: string }
  | { readonly kind: "retry"; readonly ms: number }
  /** An event over the limit. It was not kept; the stream goes on after it. */
  | { readonly kind: "oversized"; readonly bytes: number; readonly id: string | undefined };

export interface EventFramer {
  /** Any slice of the stream; what it completes. */
  push(chunk: Uint8Array): FramedItem[];
  /** Bytes of memory held for what is not complete. */
  heldBytes(): number;
}

export interface EventFramerOptions {
  /** Lines of one event together, comments not counted. */
  readonly maxEventBytes: number;
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);
/** What is kept of a comment, and of a line of an oversized event: enough for a beat and for an id. */
const SHORT_LINE_BYTES = 2048;
/** A longer id could not be sent back in a header. */
const MAX_ID_LENGTH = 1024;
const INITIAL_BYTES = 4096;
/** A buffer that one large event made is given back after it. */
const KEPT_BYTES = 65_536;

/**
 * Cuts the bytes of one connection into blocks at empty lines, whatever ends the lines (CR, LF, CRLF) and wherever the
 * chunks were cut. Knows as much of the grammar as the connection needs; decoding and fields stay with the SSE client.
 * Lines of UTF-8 can be cut as bytes: no part of a longer character is a CR, LF or colon.
 */
export function createEventFramer(options: EventFramerOptions): EventFramer {
  let buffer = Buffer.alloc(INITIAL_BYTES);
  /** Complete lines of the block under way, then the line under way. */
  let length = 0;
  let lineStart = 0;
  let isFirstLine = true;
  let skipsLineFeed = false;
  /** The rest of the line under way is dropped. */
  let isLineCut = false;
  /** Bytes of the oversized block under way; 0 when it is not oversized. */
  let oversizedBytes = 0;
  let eventName = "";
  let id: string | undefined;
  let hasData = false;

  const reserve = (bytes: number) => {
    if (bytes <= buffer.length) return;
    const grown = Buffer.alloc(Math.max(bytes, buffer.length * 2));
    buffer.copy(grown, 0, 0, length);
    buffer = grown;
  };

  const isComment = () => {
    const at = isFirstLine && startsWithBom(buffer.subarray(lineStart, length)) ? lineStart + BOM.length : lineStart;
    return at < length && buffer[at] === COLON;
  };

  const append = (part: Buffer) => {
    if (oversizedBytes > 0) oversizedBytes += part.length;
    if (isLineCut || part.length === 0) return;
    const roomBytes = oversizedBytes > 0 ? SHORT_LINE_BYTES - (length - lineStart) : options.maxEventBytes - length;
    const kept = part.subarray(0, Math.max(0, roomBytes));
    reserve(length + kept.length);
    kept.copy(buffer, length);
    length += kept.length;
    if (kept.length === part.length) return;
    isLineCut = true;
    if (oversizedBytes === 0 && !isComment()) {
      oversizedBytes = length + part.length - kept.length;
      buffer.copy(buffer, 0, lineStart, lineStart + Math.min(length - lineStart, SHORT_LINE_BYTES));
      length = Math.min(length - lineStart, SHORT_LINE_BYTES);
      lineStart = 0;
    }
  };

  const dropLine = () => {
    length = lineStart;
  };

  const endLine = (items: FramedItem[]) => {
    if (isFirstLine && startsWithBom(buffer.subarray(lineStart, length))) {
      buffer.copy(buffer, lineStart, lineStart + BOM.length, length);
      length -= BOM.length;
    }
    isFirstLine = false;
    const line = buffer.subarray(lineStart, length);
    const wasCut = isLineCut;
    isLineCut = false;
    if (line.length === 0 && !wasCut) {
      endBlock(items);
      return;
    }
    if (line[0] === COLON) {
      items.push({ kind: "comment", text: line.toString("utf8", 1, Math.min(line.length, SHORT_LINE_BYTES)) });
      dropLine();
      return;
    }
    const field = splitField(line);
    if (field.name === "retry") {
      if (/^\d+$/.test(field.value)) items.push({ kind: "retry", ms: Number(field.value) });
      dropLine();
      return;
    }
    if (field.name === "data") hasData = true;
    else if (field.name === "event") eventName = field.value;
    else if (field.name === "id" && !wasCut && !field.value.includes("\0") && field.value.length <= MAX_ID_LENGTH) {
      id = field.value;
    }
    if (oversizedBytes > 0) {
      dropLine();
      return;
    }
    if (length + 2 > options.maxEventBytes) {
      oversizedBytes = length;
      length = 0;
      lineStart = 0;
      return;
    }
    reserve(length + 2);
    buffer[length++] = LF;
    lineStart = length;
  };

  const endBlock = (items: FramedItem[]) => {
    if (oversizedBytes > 0) items.push({ kind: "oversized", bytes: oversizedBytes, id });
    else if (hasData) {
      const bytes = Uint8Array.from(buffer.subarray(0, length + 1));
      bytes[length] = LF;
      items.push({ kind: "block", bytes, eventName, id });
    } else if (id !== undefined) items.push({ kind: "id", id });
    if (buffer.length > KEPT_BYTES) buffer = Buffer.alloc(INITIAL_BYTES);
    length = 0;
    lineStart = 0;
    oversizedBytes = 0;
    eventName = "";
    id = undefined;
    hasData = false;
  };

  return {
    push: (chunk) => {
      const items: FramedItem[] = [];
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let from = 0;
      let nextLf = -2;
      let nextCr = -2;
      while (from < bytes.length) {
        // A CR has ended its line already; an LF right after it, even in the next chunk, belongs to it.
        if (skipsLineFeed) {
          skipsLineFeed = false;
          if (bytes[from] === LF) {
            from++;
            continue;
          }
        }
        // Each search result is kept until it lies behind, so that a stream without CR is searched for one only once.
        if (nextLf !== -1 && nextLf < from) nextLf = bytes.indexOf(LF, from);
        if (nextCr !== -1 && nextCr < from) nextCr = bytes.indexOf(CR, from);
        const end = nextLf === -1 ? nextCr : nextCr === -1 ? nextLf : Math.min(nextLf, nextCr);
        append(bytes.subarray(from, end === -1 ? bytes.length : end));
        if (end === -1) break;
        skipsLineFeed = bytes[end] === CR;
        endLine(items);
        from = end + 1;
      }
      return items;
    },
    heldBytes: () => buffer.length,
  };
}

function startsWithBom(line: Buffer): boolean {
  return line.length >= BOM.length && line.subarray(0, BOM.length).equals(BOM);
}

/** One space after the colon is not part of the value; a line without a colon is a name with an empty value. */
function splitField(line: Buffer): { readonly name: string; readonly value: string } {
  const colon = line.indexOf(COLON);
  if (colon === -1) return { name: line.length <= SHORT_LINE_BYTES ? line.toString("utf8") : "", value: "" };
  if (colon > 5) return { name: "", value: "" };
  const name = line.toString("utf8", 0, colon);
  if (name === "data") return { name, value: "" };
  const from = line[colon + 1] === 0x20 ? colon + 2 : colon + 1;
  return { name, value: line.toString("utf8", from) };
}
