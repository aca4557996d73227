/**
 * `site=north, gpu` → `{site: "north", gpu: ""}`. Throws an error with `field` when a part has no key.
 *
 * @param {string} text
 */
export function parseLabels(text) {
  const labels = {};
  for (const part of text.split(",").map((piece) => piece.trim())) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const key = (equals < 0 ? part : part.slice(0, equals)).trim();
    if (key === "")
      throw Object.assign(new Error(`labels: "${part}" has no key; allowed: key=value, key=value`), {
        field: "labels",
      });
    labels[key] = equals < 0 ? "" : part.slice(equals + 1).trim();
  }
  return labels;
}

export function labelsText(labels) {
  return Object.entries(labels)
    .map(([key, value]) => (value === "" ? key : `${key}=${value}`))
    .join(", ");
}
