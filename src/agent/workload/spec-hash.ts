import { createHash } from "node:crypto";
import { canonicalJson } from "../../base/canonical-json.ts";

/**
 * 16 hexadecimal digits that are equal for specs that mean the same: keys are sorted, absent and `undefined` are one,
 * the order of lists counts. The schema has already dropped what it does not know. Stable across releases, because
 * defaults are filled in where the command line is made and never here.
 */
export function specHash(spec: unknown): string {
  return createHash("sha256").update(canonicalJson(spec)).digest("hex").slice(0, 16);
}
