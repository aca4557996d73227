import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { countText } from "../../shared/quantity.js";
import { hashOf } from "../address.js";
import { createBoxQuery, unwellFirst } from "../box-query.js";
import { drawLabels, percentText } from "../facts.js";
import { drawAgo } from "../time.js";
import { drawState } from "../tone.js";

const COUNTS = [
  ["all", "", (boxes) => boxes.total],
  ["online", "online", (boxes) => boxes.online],
  ["degraded", "degraded", (boxes) => boxes.degraded],
  ["offline", "offline", (boxes) => boxes.offline],
  ["never heard", "never", (boxes) => boxes.never],
];
const TYPING_MS = 250;
/** Boxes that are read and shown at first, and with each press of "Show more". */
const STEP = 200;
const MAX_PAGE = 1000;

/** All boxes, those that are unwell first. */
export function createBoxesView({ api, query, redraw, ask }) {
  const filter = createBoxQuery(query);
  let overview;
  let boxes;
  let next;
  let typing;
  let wanted = STEP;

  /** As many as were shown before, so that what a person opened stays. */
  const readPages = async (asked, signal) => {
    const items = [];
    let after;
    do {
      const page = await api.get(
        "/v1/boxes",
        { ...asked, limit: Math.min(MAX_PAGE, wanted - items.length), after },
        signal,
      );
      items.push(...page.items);
      after = page.next;
    } while (after !== undefined && items.length < wanted);
    return { items, after };
  };
  const load = async (signal) => {
    const asked = filter.toQuery();
    const [counts, pages] = await Promise.all([api.get("/v1/overview", {}, signal), readPages(asked, signal)]);
    // Of a large fleet the first page may hold none of those that need a person.
    const missed =
      pages.after === undefined || asked.connection !== undefined
        ? []
        : ["offline", "degraded"].filter((connection) => counts.boxes[connection] > 0);
    const unwell = await Promise.all(
      missed.map((connection) => api.get("/v1/boxes", { ...asked, connection, limit: 100 }, signal)),
    );
    overview = counts;
    next = pages.after;
    boxes = unwellFirst([...pages.items, ...unwell.flatMap(({ items }) => items)]);
  };
  const change = (name, value) => {
    filter.set(name, value);
    history.replaceState(null, "", filter.toHash());
    wanted = STEP;
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING_MS);
    redraw();
  };
  const more = () => {
    wanted += STEP;
    ask();
  };

  return {
    title: "Boxes",
    load,
    hears: ({ kind }) => /^(?:box|workload|alert|expected)\./.test(kind),
    announces: () => (boxes ?? []).map(({ id, name, connection }) => [id, `${name} is ${connection}`]),
    close: () => clearTimeout(typing),
    draw: () => html`
      ${overview === undefined ? nothing : drawCounts(overview, filter, change)}
      <form class="card filters" role="search" aria-label="Boxes" @submit=${(event) => event.preventDefault()}>
        <label class="field">Name or id
          <input name="text" type="search" .defaultValue=${filter.get("text")} @input=${(event) => change("text", event.target.value)}></label>
        <label class="field">Labels
          <input name="labels" placeholder="site=north, !old, zone in (a,b)" spellcheck="false" .defaultValue=${filter.get("labels")}
            @input=${(event) => change("labels", event.target.value)}></label>
        <label class="field narrow">State
          <select name="state" @change=${(event) => change("state", event.target.value)}>
            ${["", "approved", "pending", "revoked"].map(
              (state) =>
                html`<option value=${state} ?selected=${state === filter.get("state")}>${state || "any"}</option>`,
            )}
          </select></label>
      </form>
      ${boxes === undefined ? html`<p class="empty">Asking the hub…</p>` : drawList(boxes, api.nowMs())}
      ${boxes?.length === 0 ? drawNone(filter) : nothing}
      ${next === undefined || boxes === undefined ? nothing : html`<button type="button" @click=${more}>Show more (${boxes.length} shown)</button>`}
    `,
  };
}

function drawCounts({ boxes, workloads, alerts }, filter, change) {
  return html`
    <div class="counts" role="group" aria-label="How many boxes; press one to see those only">
      ${COUNTS.map(
        ([label, connection, count]) => html`<button type="button" data-count=${label}
          aria-pressed=${String(filter.get("connection") === connection)} @click=${() => change("connection", connection)}
          ><b>${count(boxes)}</b> ${label}</button>`,
      )}
    </div>
    <p class="soft">${workloads.running} of ${workloads.expected} workloads run${
      workloads.unwell > 0 ? html`, <b data-tone="bad">${workloads.unwell} unwell</b>` : ""
    }${workloads.hibernated > 0 ? `, ${workloads.hibernated} hibernated` : ""}${
      boxes.pending > 0 ? html` · <a href="#/enrolment">${boxes.pending} to approve</a>` : ""
    }${boxes.quarantined > 0 ? ` · ${boxes.quarantined} in quarantine` : ""}${
      alerts.firing > 0 ? html` · <a href="#/alerts">${countText(alerts.firing, "alert")} firing</a>` : ""
    }</p>
  `;
}

function drawList(boxes, nowMs) {
  return html`<ul class="rows" aria-label="Boxes">
    ${repeat(
      boxes,
      ({ id }) => id,
      (box) => html`<li class="card row-card" data-box=${box.id}>
        <div class="row-name">
          <a href=${hashOf("boxes", box.id)}><b>${box.name}</b></a>
          ${box.name === box.id ? nothing : html`<code>${box.id}</code>`}
        </div>
        <div class="row-states">${drawBoxStates(box)}</div>
        <div class="row-facts">
          <span>${box.workloads.running}/${box.workloads.total} run${
            box.workloads.unwell > 0 ? html`, <b data-tone="bad">${box.workloads.unwell} unwell</b>` : ""
          }</span>
          <span>${box.lastContactAt === undefined ? "not heard yet" : html`heard ${drawAgo(box.lastContactAt, nowMs)}`}</span>
          ${box.node?.cpuPercent === undefined ? nothing : html`<span>CPU ${percentText(box.node.cpuPercent)}</span>`}
          ${box.node?.memoryPercent === undefined ? nothing : html`<span>memory ${percentText(box.node.memoryPercent)}</span>`}
        </div>
        <div class="row-labels">${drawLabels(box.labels)}</div>
        ${box.incidents.map(({ kind, cause }) => html`<p class="cause" data-tone="bad">${kind}: ${cause}</p>`)}
      </li>`,
    )}
  </ul>`;
}

export function drawBoxStates({ connection, state, draining, quarantine }) {
  return html`${drawState(connection === "never" ? "never heard" : connection)}${state === "approved" ? nothing : drawState(state)}${
    draining ? html`<span class="state" data-tone="busy">draining</span>` : nothing
  }${quarantine === undefined ? nothing : html`<span class="state" data-tone="bad">quarantine</span>`}`;
}

function drawNone(filter) {
  return filter.isEmpty()
    ? html`<p class="empty card">No box yet. <a href="#/enrolment">Enrol the first one</a>.</p>`
    : html`<p class="empty card">No box is like that.</p>`;
}
