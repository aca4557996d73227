import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { drawSessionRow } from "../session-row.js";
import { sayState } from "../session-text.js";

/** What needs a person stands first. */
const RANK = [
  "refused",
  "failing",
  "lost",
  "unplaced",
  "degraded",
  "pending",
  "starting",
  "waking",
  "hibernating",
  "stopping",
  "running",
  "hibernated",
  "ended",
];
const PLATFORMS = ["", "docker", "podman", "process"];

/** All sessions, those that do not run as they should first. */
export function createSessionsView(context) {
  const { api, query, session, ask } = context;
  const filter = Object.fromEntries(["box", "user", "state", "platform"].map((name) => [name, query.get(name) ?? ""]));
  let sessions;
  let next;
  let limit = 200;

  const choose = (name) => (event) => {
    filter[name] = event.target.value.trim();
    ask();
  };
  const drawText = (name, label) => html`<label class="field narrow">${label}
    <input type="search" spellcheck="false" .defaultValue=${filter[name]} @change=${choose(name)}></label>`;
  const drawChoice = (name, label, words) => html`<label class="field narrow">${label}
    <select @change=${choose(name)}>${words.map((word) => html`<option value=${word} ?selected=${word === filter[name]}>${word || "any"}</option>`)}</select></label>`;

  return {
    title: "Sessions",
    load: async (signal) => {
      const page = await api.get("/v1/sessions", { ...filter, limit }, signal);
      next = page.next;
      sessions = page.items.toSorted((left, right) => RANK.indexOf(left.state) - RANK.indexOf(right.state));
    },
    hears: ({ kind }) => kind.startsWith("session"),
    announces: () => (sessions ?? []).map((view) => [view.id, sayState(view)]),
    draw: () => html`
      <div class="section-head"><p class="soft">Applications on boxes: started, hibernated and woken from here.</p>
        ${session.may("operator") ? html`<a class="button primary" href="#/start-session">Start a session</a>` : nothing}</div>
      <form class="card filters" role="search" aria-label="Sessions" @submit=${(event) => event.preventDefault()}>
        ${drawText("box", "Box")}
        ${drawText("user", "User")}
        ${drawChoice("state", "State", ["", ...RANK.toReversed()])}
        ${drawChoice("platform", "Platform", PLATFORMS)}
      </form>
      ${sessions === undefined ? html`<p class="empty">Asking the hub…</p>` : nothing}
      ${sessions?.length === 0 ? html`<p class="empty card">${Object.values(filter).join("") === "" ? "No session yet." : "No session is like that."}</p>` : nothing}
      <ul class="rows" aria-label="Sessions">${repeat(
        sessions ?? [],
        ({ id }) => id,
        (view) => drawSessionRow(view, context),
      )}</ul>
      ${
        next === undefined || limit >= 1000
          ? nothing
          : html`<button type="button" @click=${() => {
              limit = Math.min(1000, limit + 200);
              ask();
            }}>Show more (${sessions?.length} shown)</button>`
      }
    `,
  };
}
