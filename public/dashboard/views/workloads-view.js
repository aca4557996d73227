import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
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
  const { api, query, ask } = context;
  const filter = { text: query.get("text") ?? "", labels: query.get("labels") ?? "", state: query.get("state") ?? "" };
  let items;
  let next;
  let limit = 200;
  let typing;
  const change = (name, value) => {
    filter[name] = value;
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING_MS);
  };

  return {
    title: "Workloads",
    load: async (signal) => {
      const page = await api.get("/v1/workloads", { ...filter, limit }, signal);
      next = page.next;
      items = page.items.toSorted((left, right) => Number(isUnwell(right)) - Number(isUnwell(left)));
    },
    hears: ({ kind }) => /^(?:workload|expected|box)\./.test(kind),
    announces: () => (items ?? []).map((entry) => [`${entry.box}/${entry.workload.id}`, sayState(entry)]),
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
      ${items === undefined ? html`<p class="empty">Asking the hub…</p>` : nothing}
      ${items?.length === 0 ? html`<p class="empty card">No workload is like that.</p>` : nothing}
      <ul class="rows" aria-label="Workloads">
        ${repeat(
          items ?? [],
          ({ box, workload }) => `${box}/${workload.id}`,
          (entry) => drawWorkloadRow(entry, context),
        )}
      </ul>
      ${
        next === undefined || limit >= 1000
          ? nothing
          : html`<button type="button" @click=${() => {
              limit = Math.min(1000, limit + 200);
              ask();
            }}>Show more (${items?.length} shown)</button>`
      }
    `,
  };
}
