/**
 * Pure. Whether two values are the same JSON: fields in any order, and one that is `undefined` is absent. Unlike a comparison
 * of texts it ends at the first difference.
 */
export function isSameJson(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((item: unknown, index) => isSameJson(item, other[index]));
  }
  const held = new Map(Object.entries(other));
  let present = 0;
  for (const [key, value] of Object.entries(one)) {
    if (value === undefined) continue;
    if (!isSameJson(value, held.get(key))) return false;
    present++;
  }
  for (const value of held.values()) if (value !== undefined) present--;
  return present === 0;
}
