import { element } from "../shared/element.js";
import { clockText } from "../shared/quantity.js";

const KEEP_LINES = 5000;
/** Nearer to the end than this counts as being at the end. */
const END_PIXELS = 40;

const LINE_TIME = /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] /;

/** Lines of a log, newest last. It follows the end unless a person has scrolled away from it. */
export function createLogLines() {
  const list = element("ol", {
    class: "log",
    role: "log",
    tabindex: "0",
    "aria-label": "Lines of the log, newest last",
  });
  let wanted = "";
  let held;

  const isShown = (item) =>
    wanted === "" || item.dataset.record !== "line" || item.textContent.toLowerCase().includes(wanted);
  const append = (records) => {
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < END_PIXELS;
    for (const record of records) {
      const item = toItem(record);
      item.hidden = !isShown(item);
      list.append(item);
    }
    while (list.childElementCount > KEEP_LINES) list.firstElementChild.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  };

  return {
    node: list,
    add: (record) => {
      if (held === undefined) append([record]);
      else {
        held.push(record);
        if (held.length > KEEP_LINES) held.shift();
      }
    },
    clear: () => {
      list.replaceChildren();
      if (held !== undefined) held = [];
    },
    filter: (text) => {
      wanted = text.trim().toLowerCase();
      for (const item of list.children) item.hidden = !isShown(item);
    },
    /** Gives whether it is paused now. */
    togglePause: () => {
      const waiting = held;
      held = held === undefined ? [] : undefined;
      append(waiting ?? []);
      return held !== undefined;
    },
  };
}

function toItem(record) {
  const time = record.at === undefined ? "" : element("time", { datetime: record.at }, clockText(record.at));
  const continues = record.continues === true ? element("span", { class: "soft" }, "goes on") : "";
  return element(
    "li",
    { class: "log-record", "data-record": record.type, "data-output": record.output ?? "" },
    time,
    record.output === undefined ? "" : element("span", { class: "log-output" }, record.output),
    element("span", { class: "log-text" }, textOf(record)),
    continues,
  );
}

/** A gap says how much is missing and why: a log that hides its holes is worse than none. */
function textOf(record) {
  // The agent's lines bear their time in the text too.
  if (record.type === "line") return record.at === undefined ? record.text : record.text.replace(LINE_TIME, "");
  if (record.type === "end") return `— end: ${record.reason} —`;
  const amount = [
    ...(record.lines === undefined ? [] : [`${record.lines} lines`]),
    ...(record.bytes === undefined ? [] : [`${record.bytes} bytes`]),
  ].join(", ");
  return `— gap${amount === "" ? "" : ` of ${amount}`}: ${record.reason} —`;
}
