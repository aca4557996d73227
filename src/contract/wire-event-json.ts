import type { BadEventReason } from "./wire-event.ts";

export interface JsonLimits {
  readonly maxBytes: number;
  /** Levels of objects and lists inside one another. */
  readonly maxDepth: number;
}

export const DEFAULT_JSON_LIMITS: JsonLimits = { maxBytes: 1024 * 1024, maxDepth: 32 };

export type BoundedJson =
  | { readonly value: unknown }
  | { readonly bad: Exclude<BadEventReason, "invalid">; readonly message: string };

/** JSON from an untrusted sender. Size and depth are judged before parsing; no message repeats what the text holds. */
export function parseBoundedJson(text: string, limits: JsonLimits): BoundedJson {
  const bytes = Buffer.byteLength(text, "utf8");
  if (bytes > limits.maxBytes) {
    return { bad: "too-large", message: `data: given ${bytes} bytes; allowed: at most ${limits.maxBytes}` };
  }
  if (isDeeperThan(text, limits.maxDepth)) {
    return { bad: "too-deep", message: `data: given more than ${limits.maxDepth} levels; allowed: at most that many` };
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    // The engine's own message quotes the text, which may hold a stream key.
    return { bad: "not-json", message: `data: given ${bytes} bytes that are not JSON; allowed: one JSON object` };
  }
}

/** Counts brackets outside strings, without recursion. Text that is not JSON is judged by its brackets all the same. */
function isDeeperThan(text: string, maxDepth: number): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index);
    if (character === QUOTE) index = endOfString(text, index);
    else if (character === OPEN_OBJECT || character === OPEN_LIST) {
      depth++;
      if (depth > maxDepth) return true;
    } else if (character === CLOSE_OBJECT || character === CLOSE_LIST) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

/** Where the closing quote of the string is that opens at `start`; the end of the text where there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
