/** What can be named on a command line. */
export interface Named {
  readonly id: string;
  readonly name?: string | undefined;
}

export type Resolution<Item> =
  | { readonly kind: "found"; readonly item: Item }
  | { readonly kind: "none" }
  /** In the order of their ids. */
  | { readonly kind: "several"; readonly candidates: readonly Item[] };

/**
 * What a person means by a few letters: the exact id, else the exact name, else what alone begins with them, else what alone
 * holds them. Only the id is compared letter by letter; all else in any case. More than one at a step: nothing is guessed.
 */
export function resolveName<Item extends Named>(given: string, items: readonly Item[]): Resolution<Item> {
  const wanted = given.toLowerCase();
  const namesOf = ({ id, name }: Item) => [id, ...(name === undefined ? [] : [name])].map((text) => text.toLowerCase());
  const steps: readonly ((item: Item) => boolean)[] = [
    (item) => item.id === given,
    (item) => namesOf(item).includes(wanted),
    (item) => namesOf(item).some((text) => text.startsWith(wanted)),
    (item) => namesOf(item).some((text) => text.includes(wanted)),
  ];
  if (wanted === "") return { kind: "none" };
  for (const fits of steps) {
    const found = items.filter(fits);
    const [first] = found;
    if (first === undefined) continue;
    if (found.length === 1) return { kind: "found", item: first };
    return { kind: "several", candidates: found.toSorted((left, right) => (left.id < right.id ? -1 : 1)) };
  }
  return { kind: "none" };
}

const MAX_TOLD = 12;

/** `north-1 (North gate), north-2 and 3 more` */
export function listCandidates(candidates: readonly Named[]): string {
  const told = candidates
    .slice(0, MAX_TOLD)
    .map(({ id, name }) => (name === undefined || name === id || name === "" ? id : `${id} (${name})`));
  const rest = candidates.length - told.length;
  return `${told.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
