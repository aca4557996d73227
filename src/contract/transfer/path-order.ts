import { pathBytes } from "./path-text.ts";

/** Below zero: `one` comes first. Paths as path text, in the order of a walk: by the bytes of each name, a directory before what is in it. */
export function comparePathTexts(one: string, other: string): number {
  if (one === other) return 0;
  const ones = one.split("/");
  const others = other.split("/");
  // The place itself has no name.
  if (one === "" || other === "") return one === "" ? -1 : 1;
  const count = Math.min(ones.length, others.length);
  for (let index = 0; index < count; index++) {
    const [mine, its] = [ones[index] ?? "", others[index] ?? ""];
    if (mine === its) continue;
    return Buffer.compare(pathBytes(mine), pathBytes(its));
  }
  return ones.length - others.length;
}
