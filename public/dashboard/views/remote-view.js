import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { bytesText } from "../../shared/quantity.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { confirmAction } from "../confirm.js";
import { drawTable } from "../history.js";
import { byRank, createPageList } from "../page-list.js";
import { operationText } from "../remote-text.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";

const STATES = ["open", "broken", "waiting", "ended"];
const RECORDINGS = 100;

/** Who reaches which box from afar, who did in the last day, and what their terminals have shown. */
export function createRemoteView(context) {
  const { api, query, ask, attempt } = context;
  const filter = { box: query.get("box") ?? "", state: query.get("state") ?? "" };
  const list = createPageList(context, { path: "/v1/remote", filter, compare: byRank(STATES, ({ state }) => state) });
  let recordings;

  const choose = (name) => (event) => {
    filter[name] = event.target.value.trim();
    ask();
  };
  const end = async ({ id, operator, box, operation }) => {
    const agreed = await confirmAction({
      title: `End the session of ${operator} on ${box}?`,
      text: `${operationText(operation)}: what it runs there is hung up, and both ends hear who has ended it.`,
      action: "End",
    });
    if (agreed)
      await attempt(`The session of ${operator} on ${box} is ended`, () => api.remove(pathOf("v1", "remote", id)));
  };
  const drawRow = (remote) => {
    const { id, box, operator, operation, state, reason, createdAt, endedAt, bytesToBox, bytesFromBox, router } =
      remote;
    const nowMs = api.nowMs();
    return html`<li class="card row-card" data-remote=${id} data-state=${state}>
      <div class="row-name"><b>${operator}</b> <span class="soft">on <a href=${hashOf("boxes", box)}>${box}</a></span></div>
      <div class="row-states">${drawState(state)}</div>
      <div class="row-facts"><span>begun ${drawAgo(createdAt, nowMs)}</span>
        ${endedAt === undefined ? nothing : html`<span>ended ${drawAgo(endedAt, nowMs)}</span>`}
        <span>${bytesText(bytesToBox)} to the box</span><span>${bytesText(bytesFromBox)} from it</span>
        ${router === undefined ? nothing : html`<span>by ${router}</span>`}</div>
      <div class="actions row-actions">
        ${
          recordings?.items.some((recording) => recording.id === id)
            ? html`<a class="button" href=${hashOf("remote", "recordings", id)} aria-label=${`Play what ${operator} saw on ${box}`}>Play</a>`
            : nothing
        }
        ${
          state === "ended"
            ? nothing
            : html`<button type="button" class="danger" aria-label=${`End the session of ${operator} on ${box}`} @click=${() => end(remote)}>End</button>`
        }
      </div>
      <p class="route">${operationText(operation)}</p>
      ${reason === "" ? nothing : html`<p class="cause">${reason}</p>`}
    </li>`;
  };

  return {
    title: "Remote sessions",
    load: async (signal) => {
      [recordings] = await Promise.all([
        api.get("/v1/remote/recordings", { limit: RECORDINGS }, signal),
        list.load(signal),
      ]);
    },
    hears: ({ kind }) => kind.startsWith("remote."),
    draw: () => html`
      <p class="soft">Shells, commands, forwards and copies on boxes, from the command line and from here. What is over stays for a day.</p>
      <form class="card filters" role="search" aria-label="Remote sessions" @submit=${(event) => event.preventDefault()}>
        <label class="field narrow">Box
          <input type="search" spellcheck="false" .defaultValue=${filter.box} @change=${choose("box")}></label>
        <label class="field narrow">State
          <select @change=${choose("state")}>${["", ...STATES].map(
            (word) => html`<option value=${word} ?selected=${word === filter.state}>${word || "any"}</option>`,
          )}</select></label>
      </form>
      ${list.draw({
        label: "Remote sessions",
        empty:
          Object.values(filter).join("") === ""
            ? "No remote session in the last day."
            : "No remote session is like that.",
        keyOf: ({ id }) => id,
        drawRow,
      })}
      ${recordings === undefined ? nothing : drawRecordings(recordings)}
    `,
  };
}

function drawRecordings({ items, mode, next }) {
  if (items.length === 0 && mode === "off") return nothing;
  return html`${drawTable({
    title: "Recordings",
    none: "No terminal was recorded.",
    heads: ["begun", "who", "box", "size"],
    rows: items.map(({ id, box, operator, startedAt, bytes }) => [
      html`<a href=${hashOf("remote", "recordings", id)} aria-label=${`Play the terminal of ${operator} on ${box}`}>${drawTime(startedAt)}</a>`,
      operator,
      html`<a href=${hashOf("boxes", box)}>${box}</a>`,
      bytesText(bytes),
    ]),
    shown: items.length,
  })}
  ${next === undefined ? nothing : html`<p class="soft">The ${items.length} newest; older ones are told by the API.</p>`}`;
}
