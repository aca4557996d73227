import { z } from "zod";
import { messageOf } from "../../base/errors.ts";
import { pathBytes, pathText } from "./path-text.ts";

/** Bytes. */
export const MAX_PATH_BYTES = 4096;
export const MAX_NAME_BYTES = 255;

/** Within a storage or below what is copied, as path text; "" is that place itself. Never leads out of it by its words. */
export const relativePathSchema = z
  .string()
  .max(MAX_PATH_BYTES * 3)
  .transform((text, context) => {
    const read = readPath(text);
    if (!("problem" in read)) return read.text;
    context.addIssue({ code: "custom", message: read.problem });
    return z.NEVER;
  });

/** From the root of a box, as path text: `/data/day 1`. Comes out without `//`, `/./` and a last `/`. */
export const absolutePathSchema = z
  .string()
  .min(1)
  .max(MAX_PATH_BYTES * 3)
  .transform((text, context) => {
    if (!text.startsWith("/")) {
      context.addIssue({ code: "custom", message: "must be an absolute path" });
      return z.NEVER;
    }
    const parts = text.split("/").filter((part) => part !== "" && part !== ".");
    const read = readPath(parts.join("/"));
    if (!("problem" in read)) return `/${read.text}`;
    context.addIssue({ code: "custom", message: read.problem });
    return z.NEVER;
  });

/** Most paths, at a glance: names of letters that stand for themselves, none of which begins with a dot. */
const PLAIN_PATH = /^[\w+=@,~-][\w+=@,~. -]{0,254}(?:\/[\w+=@,~-][\w+=@,~. -]{0,254})*$/;

/** Pure. False: it may be one all the same. */
export function isPlainPath(text: string): boolean {
  return text.length <= MAX_PATH_BYTES && PLAIN_PATH.test(text);
}

/** Pure. The one text of the path, or why it is none. */
export function readPath(text: string): { readonly text: string } | { readonly problem: string } {
  if (isPlainPath(text)) return { text };
  try {
    const bytes = pathBytes(text);
    if (bytes.length > MAX_PATH_BYTES) return { problem: `a path of at most ${MAX_PATH_BYTES} bytes` };
    if (bytes.includes(0)) return { problem: "a path without the byte 0" };
    if (bytes.length === 0) return { text: "" };
    for (const name of splitBytes(bytes)) {
      if (name.length === 0) return { problem: "a path with a name between every two /, and none at its ends" };
      if (name.length > MAX_NAME_BYTES) return { problem: `a path of names of at most ${MAX_NAME_BYTES} bytes` };
      const word = name.toString("latin1");
      if (word === "." || word === "..") return { problem: "a path without . or .. as a name" };
    }
    return { text: pathText(bytes) };
  } catch (thrown) {
    return { problem: messageOf(thrown).replace(/^.*; allowed: /, "") };
  }
}

/**
 * Pure. Where `path` lies below `root`, name by name (`/data/source2` is not in `/data/source`): "" is the root itself;
 * `undefined`: not in it. Both are absolute and as `absolutePathSchema` gives them.
 */
export function pathBelow(root: string, path: string): string | undefined {
  if (root === "/") return path.slice(1);
  if (path === root) return "";
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : undefined;
}

/** Pure. A path below a place; either may be "". */
export function joinPath(place: string, path: string): string {
  if (place === "" || path === "") return place + path;
  return place.endsWith("/") ? place + path : `${place}/${path}`;
}

function* splitBytes(bytes: Buffer): Generator<Buffer> {
  let from = 0;
  for (let at = bytes.indexOf(0x2f); at !== -1; at = bytes.indexOf(0x2f, from)) {
    yield bytes.subarray(from, at);
    from = at + 1;
  }
  yield bytes.subarray(from);
}
