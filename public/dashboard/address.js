/** The address of a view, from the parts of its path: `#/boxes/north-1`. */
export function hashOf(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}
