import { byId, element } from "./element.js";

const SHOWN_MS = 6000;

/** A short message at the edge of the page. `kind`: `ok` or `error`. */
export function showNotice(text, kind = "ok") {
  const node = element("p", { class: `notice ${kind}` }, text);
  byId("notices").append(node);
  setTimeout(() => node.remove(), SHOWN_MS);
}
