const MAX_NEAR = 3;

/** Pure. Those that somebody who typed `given` may have meant, the nearest first. */
export function nearNames(given: string, names: readonly string[]): readonly string[] {
  const wanted = given.toLowerCase();
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  return names
    .map((name) => {
      const text = name.toLowerCase();
      const isPart = text.includes(wanted) || (text.length > 2 && wanted.includes(text));
      return { name, distance: isPart ? 0.5 : distanceOf(wanted, text) };
    })
    .filter(({ distance }) => distance <= limit)
    .sort((one, other) => one.distance - other.distance || (one.name < other.name ? -1 : 1))
    .slice(0, MAX_NEAR)
    .map(({ name }) => name);
}

/** Levenshtein's: letters put in, left out or exchanged. */
function distanceOf(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= one.length; at++) {
    const next = [at];
    for (let to = 1; to <= other.length; to++) {
      const exchanged = (row[to - 1] ?? 0) + (one[at - 1] === other[to - 1] ? 0 : 1);
      next.push(Math.min((row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1, exchanged));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
