export interface FieldChange {
  /** `spec.outputs[0].url`; empty for the whole value. */
  readonly path: string;
  /** Absent: there was nothing. */
  readonly from?: unknown;
  /** Absent: there is nothing any more. */
  readonly to?: unknown;
}

type Json = Readonly<Record<string, unknown>>;

/** Where two JSON values differ, as deep as they have the same form. `undefined` is the same as absent. */
export function diffValues(from: unknown, to: unknown, path = ""): FieldChange[] {
  if (isObject(from) && isObject(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
    return keys.flatMap((key) => diffValues(own(from, key), own(to, key), path === "" ? key : `${path}.${key}`));
  }
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length) {
    return from.flatMap((entry: unknown, index) => diffValues(entry, to[index], `${path}[${index}]`));
  }
  if (Object.is(from, to) || (from !== undefined && JSON.stringify(from) === JSON.stringify(to))) return [];
  return [{ path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }];
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function own(object: Json, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
