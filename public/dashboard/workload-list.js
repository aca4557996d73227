import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { isUnwell } from "./tone.js";
import { drawWorkloadRow } from "./workload-row.js";

/** More than this are looked for by name, and shown in steps: what stands below them must be reachable. */
const STEP = 50;

/** The workloads of one box: those that need a person first, then by name as people count. */
export function createWorkloadList(context) {
  let wanted = "";
  let shown = STEP;

  return {
    /** @param {readonly object[]} entries each with the `box` that it is on */
    draw: (entries) => {
      const found = unwellFirst(entries.filter((entry) => isNamed(entry, wanted)));
      const unwell = entries.filter(isUnwell).length;
      return html`
        <div class="section-head">
          <h2 id="workloads-title">Workloads <span class="soft">${entries.length}${
            unwell === 0 ? nothing : html`, <b data-tone="bad">${unwell} unwell</b>`
          }</span></h2>
          ${
            entries.length <= STEP
              ? nothing
              : html`<label class="inline">Only with
                <input type="search" spellcheck="false" @input=${(event) => {
                  wanted = event.target.value.trim().toLowerCase();
                  context.redraw();
                }}></label>`
          }
        </div>
        ${entries.length === 0 ? html`<p class="empty card">Nothing is expected of this box.</p>` : nothing}
        ${entries.length > 0 && found.length === 0 ? html`<p class="empty card">No workload is like that.</p>` : nothing}
        <ul class="rows" aria-label="Workloads">${repeat(
          found.slice(0, shown),
          ({ workload }) => workload.id,
          (entry) => drawWorkloadRow(entry, context),
        )}</ul>
        ${
          found.length <= shown
            ? nothing
            : html`<div class="actions wrap"><button type="button" @click=${() => {
                shown += STEP;
                context.redraw();
              }}>Show more (${shown} of ${found.length} shown)</button>
              <button type="button" @click=${() => {
                shown = Number.POSITIVE_INFINITY;
                context.redraw();
              }}>Show all</button></div>`
        }
      `;
    },
  };
}

function isNamed({ workload: { id, name = "" } }, wanted) {
  return wanted === "" || `${id} ${name}`.toLowerCase().includes(wanted);
}

function unwellFirst(entries) {
  return entries.toSorted(
    (left, right) =>
      Number(isUnwell(right)) - Number(isUnwell(left)) ||
      left.workload.id.localeCompare(right.workload.id, undefined, { numeric: true }),
  );
}
