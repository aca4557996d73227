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
  let isInString = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (isInString) {
      if (character === "\\") index++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === "{" || character === "[") {
      depth++;
      if (depth > maxDepth) return true;
    } else if (character === "}" || character === "]") depth--;
  }
  return false;
}
