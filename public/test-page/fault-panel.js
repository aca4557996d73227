import { byId, createKeyedList, element, setText } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { secondsText } from "../shared/quantity.js";
import { call } from "./api.js";

/** Draws the buttons from the server's own catalog, and what is on with its countdown. */
export async function createFaultPanel() {
  const list = byId("faults");
  const clearAll = byId("clear-faults");
  clearAll.addEventListener("click", () => call("DELETE", "faults"));
  const render = createKeyedList(byId("active-faults"), ({ name }) => name, createActiveItem);
  const update = (active) => {
    render(active);
    clearAll.disabled = active.length === 0;
    for (const item of list.children)
      item.classList.toggle(
        "on",
        active.some(({ name }) => name === item.dataset.fault),
      );
  };
  const answer = await call("GET", "faults");
  list.replaceChildren(...(answer?.available ?? []).map(createFaultItem));
  return update;
}

function createActiveItem(fault) {
  const left = element("span", { class: "left" });
  const clear = element("button", { type: "button", class: "quiet", "aria-label": `Clear: ${fault.title}` }, "Clear");
  clear.addEventListener("click", () => call("DELETE", `faults/${encodeURIComponent(fault.name)}`));
  const node = element(
    "li",
    { class: "active-fault", "data-active": fault.name },
    element("b", {}, fault.title),
    left,
    clear,
  );
  let endsAtMs;
  let events;
  const show = () => {
    if (events !== undefined) setText(left, `${events} events left`);
    else if (endsAtMs === undefined) setText(left, "until cleared");
    else setText(left, `${secondsText((endsAtMs - performance.now()) / 1000)} left`);
  };
  const timer = setInterval(show, 250);
  return {
    node,
    update: ({ secondsLeft, eventsLeft }) => {
      endsAtMs = secondsLeft === undefined ? undefined : performance.now() + secondsLeft * 1000;
      events = eventsLeft;
      show();
    },
    remove: () => clearInterval(timer),
  };
}

function createFaultItem(fault) {
  const inputs = new Map(fault.args.map((argument) => [argument, createInput(fault, argument)]));
  const press = element("button", { type: "submit", class: "press", "data-press": fault.name }, fault.title);
  const fields = element("div", { class: "fields" }, ...[...inputs.values()].map(({ field }) => field));
  const hint = element("p", { class: "hint" }, fault.explanation);
  const details = element("div", { class: "fault-details", hidden: true }, hint, fields);
  const label = `What it does and how: ${fault.title}`;
  const more = element("button", { type: "button", class: "more", "aria-label": label, "aria-expanded": "false" }, "⋯");
  const form = element("form", { title: fault.explanation }, press, more, details);
  more.addEventListener("click", () => {
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = [...inputs].map(([argument, { read }]) => [argument.name, read()]);
    const answer = await call("POST", `faults/${encodeURIComponent(fault.name)}`, Object.fromEntries(values));
    if (answer !== undefined) showNotice(`${fault.title}: ${answer.clients} connected`);
  });
  return element("li", { "data-fault": fault.name }, form);
}

function createInput(fault, argument) {
  const name = `${fault.name}-${argument.name}`;
  if (argument.type === "flag") {
    const input = element("input", { type: "checkbox", name });
    input.checked = argument.initial;
    return { field: element("label", { class: "check" }, input, argument.label), read: () => input.checked };
  }
  if (argument.type === "choice") {
    const options = argument.choices.map((choice) => element("option", { value: choice }, choice));
    const input = element("select", { name }, ...options);
    input.value = argument.initial;
    return { field: element("label", { class: "field" }, argument.label, input), read: () => input.value };
  }
  const limits =
    argument.type === "number"
      ? { type: "number", min: argument.min, max: argument.max, step: "any" }
      : { type: "text" };
  const input = element("input", {
    name,
    ...limits,
    ...(argument.type === "number" && !argument.optional ? { required: true } : {}),
  });
  input.value = String(argument.initial);
  const read = () => (argument.type === "number" && input.value !== "" ? Number(input.value) : input.value);
  return { field: element("label", { class: "field" }, argument.label, input), read };
}
