import { createHash } from "node:crypto";

/**
 * 16 hexadecimal digits that are equal for specs that mean the same: keys are sorted, absent and `undefined` are one,
 * the order of lists counts. The schema has already dropped what it does not know. Stable across releases, because
 * defaults are filled in where the command line is made and never here.
 */
export function specHash(spec: unknown): string {
  return createHash("sha256").update(canonicalJson(spec)).digest("hex").slice(0, 16);
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${entries.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
