/**
 * Pure: the name that stands closest to the field, or `undefined`.
 *
 * @param {string | undefined} field `body.workload.spec.outputs[0].url`
 * @param {readonly string[]} names
 */
export function nearestName(field, names) {
  if (field === undefined) return undefined;
  const wanted = partsOf(field);
  let best;
  for (const name of names) {
    const parts = partsOf(name);
    const common = Math.min(parts.length, wanted.length);
    if (!parts.slice(0, common).every((part, index) => part === wanted[index])) continue;
    if (best === undefined || common > best.common) best = { name, common };
  }
  return best?.name;
}

function partsOf(field) {
  return field
    .replace(/\[(\d+)\]/g, ".$1")
    .split(".")
    .filter((part) => part !== "" && part !== "body");
}
