import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { byRank, createPageList } from "../page-list.js";
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
  const { query, session, ask } = context;
  const filter = Object.fromEntries(["box", "user", "state", "platform"].map((name) => [name, query.get(name) ?? ""]));
  const list = createPageList(context, { path: "/v1/sessions", filter, compare: byRank(RANK, ({ state }) => state) });

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
    load: list.load,
    hears: ({ kind }) => kind.startsWith("session"),
    announces: () => (list.items() ?? []).map((view) => [view.id, sayState(view)]),
    draw: () => html`
      <div class="section-head"><p class="soft">Applications on boxes: started, hibernated and woken from here.</p>
        ${session.may("operator") ? html`<a class="button primary" href="#/start-session">Start a session</a>` : nothing}</div>
      <form class="card filters" role="search" aria-label="Sessions" @submit=${(event) => event.preventDefault()}>
        ${drawText("box", "Box")}
        ${drawText("user", "User")}
        ${drawChoice("state", "State", ["", ...RANK.toReversed()])}
        ${drawChoice("platform", "Platform", PLATFORMS)}
      </form>
      ${list.draw({
        label: "Sessions",
        empty: Object.values(filter).join("") === "" ? "No session yet." : "No session is like that.",
        keyOf: ({ id }) => id,
        drawRow: (view) => drawSessionRow(view, context),
      })}
    `,
  };
}
