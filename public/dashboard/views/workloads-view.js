import { html } from "/vendor/lit-html/lit-html.js";
import { createPageList } from "../page-list.js";
import { isUnwell, sayState } from "../tone.js";
import { drawWorkloadRow } from "../workload-row.js";

const STATES = [
  "",
  "running",
  "starting",
  "waiting",
  "degraded",
  "stalled",
  "refused",
  "unkillable",
  "stopping",
  "hibernated",
  "unknown",
];
const TYPING_MS = 250;

/** The workloads of all boxes, those that are unwell first. */
export function createWorkloadsView(context) {
  const { query, ask } = context;
  const filter = { text: query.get("text") ?? "", labels: query.get("labels") ?? "", state: query.get("state") ?? "" };
  const compare = (left, right) => Number(isUnwell(right)) - Number(isUnwell(left));
  const list = createPageList(context, { path: "/v1/workloads", filter, compare });
  let typing;
  const change = (name, value) => {
    filter[name] = value;
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING_MS);
  };

  return {
    title: "Workloads",
    load: list.load,
    hears: ({ kind }) => /^(?:workload|expected|box)\./.test(kind),
    announces: () => (list.items() ?? []).map((entry) => [`${entry.box}/${entry.workload.id}`, sayState(entry)]),
    close: () => clearTimeout(typing),
    draw: () => html`
      <form class="card filters" role="search" aria-label="Workloads" @submit=${(event) => event.preventDefault()}>
        <label class="field">Name or id
          <input type="search" .defaultValue=${filter.text} @input=${(event) => change("text", event.target.value)}></label>
        <label class="field">Labels of the box
          <input placeholder="site=north" spellcheck="false" .defaultValue=${filter.labels}
            @input=${(event) => change("labels", event.target.value)}></label>
        <label class="field narrow">State
          <select @change=${(event) => change("state", event.target.value)}>
            ${STATES.map((state) => html`<option value=${state} ?selected=${state === filter.state}>${state || "any"}</option>`)}
          </select></label>
      </form>
      ${list.draw({
        label: "Workloads",
        empty: "No workload is like that.",
        keyOf: ({ box, workload }) => `${box}/${workload.id}`,
        drawRow: (entry) => drawWorkloadRow(entry, context),
      })}
    `,
  };
}
