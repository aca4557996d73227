import { pathBytes } from "../../contract/transfer/path-text.ts";
import { requireName, splitPath } from "./jail.ts";

/**
 * Components of paths below a place, each in turn. Those of one directory begin with the very same buffers, by which whoever holds that
 * directory knows it again (`isIn`). Throws as `splitPath`.
 */
export function createTargetPaths(place: readonly Buffer[]): (path: string) => readonly Buffer[] {
  let last: { readonly text: string; readonly parts: readonly Buffer[] } | undefined;
  return (path) => {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return [...place, ...splitPath(pathBytes(path))];
    const text = path.slice(0, slash);
    if (last?.text !== text) last = { text, parts: [...place, ...splitPath(pathBytes(text))] };
    return [...last.parts, requireName(pathBytes(path.slice(slash + 1)))];
  };
}
