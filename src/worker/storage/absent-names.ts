import { errnoOf } from "../../base/errors.ts";
import { type Descent, isIn, listFewNames } from "./jail.ts";

/** Knows at little cost that nothing has a name: where many of one directory are asked for, that is listed once. */
export interface AbsentNames {
  /** False: something may be there. */
  has(target: readonly Buffer[]): boolean;
}

/** So many looks cost about as much as a list. */
const LOOKS = 8;
/** A directory with more is not listed for the sake of one lease. */
const MAX_NAMES = 2000;

interface Asked {
  looks: number;
  /** Once it is listed. */
  names: Set<string> | undefined;
}

export function createAbsentNames(descent: Pick<Descent, "directory" | "isMade">): AbsentNames {
  const asked = new Map<string, Asked>();
  let last: { readonly parent: readonly Buffer[]; readonly of: Asked } | undefined;
  const askedOf = (parent: readonly Buffer[]): Asked => {
    const key = parent.map((part) => part.toString("latin1")).join("/");
    const known = asked.get(key) ?? { looks: 0, names: descent.isMade(parent) ? new Set() : undefined };
    asked.set(key, known);
    return known;
  };
  return {
    has: (target) => {
      const name = target.at(-1);
      if (name === undefined) return false;
      if (last === undefined || !isIn(target, last.parent)) {
        const parent = target.slice(0, -1);
        last = { parent, of: askedOf(parent) };
      }
      const { parent, of: known } = last;
      known.looks += 1;
      if (known.looks === LOOKS) known.names ??= namesIn(parent, descent);
      if (known.names === undefined) return false;
      return known.names.size === 0 || !known.names.has(name.toString("latin1"));
    },
  };
}

function namesIn(parent: readonly Buffer[], descent: Pick<Descent, "directory">): Set<string> | undefined {
  try {
    return listFewNames(descent.directory(parent), MAX_NAMES);
  } catch (thrown) {
    // Whatever else is in the way is found out name by name.
    return errnoOf(thrown) === "ENOENT" ? new Set() : undefined;
  }
}
