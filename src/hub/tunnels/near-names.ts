import { editDistance } from "../../base/edit-distance.ts";

const MAX_NEAR = 3;

/** Pure. Those that somebody who typed `given` may have meant, the nearest first. */
export function nearNames(given: string, names: readonly string[]): readonly string[] {
  const wanted = given.toLowerCase();
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  return names
    .map((name) => {
      const text = name.toLowerCase();
      const isPart = text.includes(wanted) || (text.length > 2 && wanted.includes(text));
      return { name, distance: isPart ? 0.5 : editDistance(wanted, text) };
    })
    .filter(({ distance }) => distance <= limit)
    .sort((one, other) => one.distance - other.distance || (one.name < other.name ? -1 : 1))
    .slice(0, MAX_NEAR)
    .map(({ name }) => name);
}
