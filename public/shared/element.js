/**
 * Makes an element. Data from outside only ever becomes text or a plain attribute: nothing here parses HTML.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `class`, `on…` listeners, properties and attributes
 * @param {...(Node | string)} children
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Sets text only when it differs, so that selections and screen readers are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Keeps one view for each item under `parent`, in the items' order. Views of items that are gone are removed; a view that
 * stays keeps its nodes (a playing video goes on).
 *
 * @template Item
 * @param {Element} parent
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => {node: Element, update(item: Item): void, remove?(): void}} createView
 */
export function createKeyedList(parent, keyOf, createView) {
  const views = new Map();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, view] of views) {
      if (keys.has(key)) continue;
      view.remove?.();
      view.node.remove();
      views.delete(key);
    }
    let previous = null;
    for (const item of items) {
      const key = keyOf(item);
      let view = views.get(key);
      if (view === undefined) {
        view = createView(item);
        views.set(key, view);
      }
      view.update(item);
      const next = previous === null ? parent.firstElementChild : previous.nextElementSibling;
      if (next !== view.node) parent.insertBefore(view.node, next);
      previous = view.node;
    }
  };
}
