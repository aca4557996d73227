/** Field names that a patch takes away, beside those that it sets. */
export const REMOVED = "$removed";

type Fields = Readonly<Record<string, unknown>>;

/**
 * What makes `next` of `base`: changed fields only, objects field by field, everything else whole, and the names of fields that
 * are gone in `$removed`. `undefined`: nothing differs. Both are JSON; a field that is `undefined` is none. Unlike JSON Merge
 * Patch (RFC 7396) a `null` is a value.
 */
export function diffObjects(base: Fields, next: Fields): Fields | undefined {
  const patch: [string, unknown][] = [];
  for (const [name, value] of Object.entries(next)) {
    const change = diffValues(fieldOf(base, name), value);
    if (change !== undefined) patch.push([name, change]);
  }
  const gone = Object.keys(base).filter(
    (name) => fieldOf(base, name) !== undefined && fieldOf(next, name) === undefined,
  );
  if (gone.length > 0) patch.push([REMOVED, gone]);
  return patch.length === 0 ? undefined : Object.fromEntries(patch);
}

function diffValues(base: unknown, next: unknown): unknown {
  if (next === undefined || Object.is(base, next)) return undefined;
  if (isFields(base) && isFields(next)) return diffObjects(base, next);
  return JSON.stringify(base) === JSON.stringify(next) ? undefined : next;
}

/** Pure. A patch for another base gives nonsense, not an error: the result is for a schema to judge. */
export function patchObject(base: Fields, patch: Fields): Fields {
  const fields = new Map(Object.entries(base));
  for (const [name, change] of Object.entries(patch)) {
    const held = fields.get(name);
    if (name !== REMOVED) fields.set(name, isFields(held) && isFields(change) ? patchObject(held, change) : change);
  }
  const gone = fieldOf(patch, REMOVED);
  if (Array.isArray(gone)) for (const name of gone) fields.delete(String(name));
  return Object.fromEntries(fields);
}

/** Its own: a name such as `toString` is no field of every object. */
function fieldOf(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
