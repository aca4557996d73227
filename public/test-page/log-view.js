import { byId, element } from "../shared/element.js";
import { clockText } from "../shared/quantity.js";

const KEEP_LINES = 500;

/** The log, newest first. While it is paused, lines are counted and shown when it goes on. */
export function createLogView() {
  const list = byId("log");
  const pause = byId("log-pause");
  const kind = byId("log-kind");
  const kinds = new Set();
  let held;

  const add = (line) => {
    if (!kinds.has(line.kind)) {
      kinds.add(line.kind);
      kind.append(element("option", { value: line.kind }, line.kind));
    }
    const time = element("time", { datetime: line.at }, clockText(line.at));
    const item = element(
      "li",
      { class: "log-line", "data-kind": line.kind },
      time,
      element("span", { class: "log-kind" }, line.kind),
      element("span", { class: "log-text" }, line.text),
    );
    item.hidden = kind.value !== "" && kind.value !== line.kind;
    list.prepend(item);
    while (list.childElementCount > KEEP_LINES) list.lastElementChild.remove();
  };
  pause.addEventListener("click", () => {
    const waiting = held;
    held = held === undefined ? [] : undefined;
    pause.setAttribute("aria-pressed", String(held !== undefined));
    pause.textContent = held === undefined ? "Pause" : "Go on";
    for (const line of waiting ?? []) add(line);
  });
  kind.addEventListener("change", () => {
    for (const item of list.children) item.hidden = kind.value !== "" && kind.value !== item.dataset.kind;
  });
  return {
    replace: (lines) => {
      list.replaceChildren();
      held = held === undefined ? undefined : [];
      for (const line of lines) add(line);
    },
    add: (line) => {
      if (held === undefined) {
        add(line);
        return;
      }
      held.push(line);
      if (held.length > KEEP_LINES) held.shift();
      pause.textContent = `Go on (${held.length} new)`;
    },
  };
}
