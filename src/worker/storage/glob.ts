/**
 * Patterns of paths, over path text. One without a slash is for a name in any directory; one with a slash for the whole path
 * from the source on. `*` and `?` stand for characters of one name, `[a-z]` for one of them, `**` as a name for any number of
 * names. A directory that is matched takes all below it along. Never takes longer than pattern times path: no regular expression.
 */
export interface Glob {
  matches(path: readonly string[]): boolean;
}

export function createGlob(pattern: string): Glob {
  const escaped = pattern.replaceAll("%", "%25");
  const isAnchored = escaped.replace(/\/$/, "").includes("/");
  const parts = escaped.split("/").filter((part) => part !== "");
  const wanted = isAnchored ? parts : ["**", ...parts];
  return { matches: (path) => matchParts(wanted, path) };
}

function matchParts(wanted: readonly string[], path: readonly string[]): boolean {
  return matchStarred(
    wanted,
    path,
    (part) => part === "**",
    (part, name) => matchName([...part], characters(name)),
  );
}

/** A byte that is no text is one character, though it is written with three. */
function characters(name: string): string[] {
  return name.match(/%[0-9A-F]{2}|./gsu) ?? [];
}

function matchName(pattern: readonly string[], name: readonly string[]): boolean {
  const units = classes(pattern);
  return matchStarred(
    units,
    name,
    (unit) => unit === "*",
    (unit, character) => unit === "?" || unit === character || (unit.length > 2 && isInClass(unit, character)),
  );
}

/** `%25` and `[…]` are one unit each. */
function classes(pattern: readonly string[]): string[] {
  const units: string[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const close = pattern[at] === "[" ? pattern.indexOf("]", at + 2) : -1;
    const isEscape = pattern[at] === "%";
    const end = close !== -1 ? close + 1 : isEscape ? at + 3 : at + 1;
    units.push(pattern.slice(at, end).join(""));
    at = end - 1;
  }
  return units;
}

function isInClass(unit: string, character: string): boolean {
  if (!unit.startsWith("[")) return false;
  const isNegated = unit[1] === "!" || unit[1] === "^";
  const inner = [...unit.slice(isNegated ? 2 : 1, -1)];
  let isIn = false;
  for (let at = 0; at < inner.length; at++) {
    const from = inner[at] ?? "";
    const to = inner[at + 1] === "-" && at + 2 < inner.length ? (inner[at + 2] ?? from) : from;
    if (to !== from) at += 2;
    isIn ||= from <= character && character <= to;
  }
  return isIn !== isNegated;
}

/** Goes back to the last star alone: what an earlier one could take, the last one can too. */
function matchStarred<Unit, Item>(
  wanted: readonly Unit[],
  items: readonly Item[],
  isStar: (unit: Unit) => boolean,
  isOne: (unit: Unit, item: Item) => boolean,
): boolean {
  let at = 0;
  let star = -1;
  let starAt = 0;
  let index = 0;
  while (at < items.length) {
    const unit = wanted[index];
    const item = items[at];
    if (unit !== undefined && isStar(unit)) {
      star = index++;
      starAt = at;
    } else if (unit !== undefined && item !== undefined && isOne(unit, item)) {
      index++;
      at++;
    } else if (star !== -1) {
      index = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (index < wanted.length && isStar(wanted[index] as Unit)) index++;
  return index === wanted.length;
}
