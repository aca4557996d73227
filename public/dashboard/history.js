import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { drawTime, spanText } from "./time.js";

const SHOWN = 20;

/** What went wrong on a box, and how its agent started, newest first. */
export function drawHistory({ incidents, gaps, starts }, nowMs) {
  return html`<div class="columns">
    ${drawTable({
      title: "Incidents",
      none: "None so far.",
      heads: ["when", "what", "how long"],
      rows: incidents.map((one) => [drawTime(one.start), `${one.kind}: ${one.cause}`, spanText(one, nowMs)]),
    })}
    ${drawTable({
      title: "Gaps",
      none: "None so far.",
      heads: ["when", "what", "how long"],
      rows: gaps.map((one) => [drawTime(one.start), `${one.workload}: ${one.cause}`, spanText(one, nowMs)]),
    })}
    ${drawTable({
      title: "Starts of the agent",
      none: "It has not reported yet.",
      heads: ["when", "verdict", "version"],
      rows: starts.map(({ at, verdict, agentVersion }) => [drawTime(at), verdict, agentVersion]),
    })}
  </div>`;
}

/** A word is shown whole, and so are those of a sentence: only what is long is broken. */
function classOf(cell) {
  if (typeof cell !== "string" || /\S{21}/.test(cell)) return nothing;
  return /\s/.test(cell) ? "words" : "word";
}

/** A small table that scrolls by itself where it is too wide. Tells how many rows it leaves out: `rest`, unless they are older ones. */
export function drawTable({ title, none, heads, rows, shown = SHOWN, rest = "older ones" }) {
  return html`<section class="card" aria-label=${title}>
    <h2>${title}</h2>
    ${
      rows.length === 0
        ? html`<p class="empty">${none}</p>`
        : html`<div class="scroll" tabindex="0" role="group" aria-label=${title}><table>
          <thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
          <tbody>${rows.slice(0, shown).map((row) => html`<tr>${row.map((cell) => html`<td class=${classOf(cell)}>${cell}</td>`)}</tr>`)}</tbody>
        </table></div>`
    }
    ${rows.length > shown ? html`<p class="hint">${rows.length - shown} ${rest} are not shown.</p>` : nothing}
  </section>`;
}
