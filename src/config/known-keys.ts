import type { z } from "zod";

type Schema = z.core.$ZodType;

/** Pure. The keys that an object may have at this place of what the schema describes; of a union those of every branch. */
export function knownKeys(schema: Schema, place: readonly PropertyKey[]): readonly string[] {
  const [key, ...rest] = place;
  const found = branches(schema).flatMap((branch): readonly string[] => {
    const { def } = branch._zod;
    if (def.type === "object") {
      if (key === undefined) return Object.keys(def.shape);
      const inner = def.shape[String(key)];
      return inner === undefined ? [] : knownKeys(inner, rest);
    }
    if (key === undefined) return [];
    if (def.type === "record") return knownKeys(def.valueType, rest);
    return def.type === "array" ? knownKeys(def.element, rest) : [];
  });
  return [...new Set(found)];
}

/** What may stand there, without what wraps it. */
function branches(schema: Schema): readonly z.core.$ZodTypes[] {
  // Every schema of zod is one of these; its types know each by its class alone.
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "nonoptional":
    case "readonly":
    case "catch":
      return branches(def.innerType);
    case "pipe":
      // A transform has no keys, on whichever side of it the object stands.
      return [...branches(def.in), ...branches(def.out)];
    case "union":
      return def.options.flatMap(branches);
    case "intersection":
      return [...branches(def.left), ...branches(def.right)];
    default:
      return [schema as z.core.$ZodTypes];
  }
}
