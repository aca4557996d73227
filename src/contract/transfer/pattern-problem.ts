/**
 * Pure. What is allowed in the place of a pattern that can match nothing, or not what was meant; `undefined`: it is one. Such a pattern is
 * refused where it is asked for: a transfer that copies nothing for it would be whole, and say so with a receipt.
 */
export function patternProblem(pattern: string): string | undefined {
  const names = pattern.split("/").filter((name) => name !== "");
  if (names.length === 0) return "a pattern with a name in it";
  if (names.some((name) => name === "." || name === "..")) return "a pattern without . or .. as a name";
  if (pattern.includes("\0")) return "a pattern without the byte 0";
  return names.some(isOpenClass) ? "a [ that is closed by ], and [[] for [ itself" : undefined;
}

/** The first character of a class may be a `]`. */
function isOpenClass(name: string): boolean {
  for (let at = name.indexOf("["); at !== -1; ) {
    const close = name.indexOf("]", at + 2);
    if (close === -1) return true;
    at = name.indexOf("[", close + 1);
  }
  return false;
}
