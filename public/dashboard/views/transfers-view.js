import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { byRank, createPageList } from "../page-list.js";
import { drawProgress } from "../progress-bar.js";
import { drawAgo } from "../time.js";
import { drawState } from "../tone.js";
import { drawTransferActions } from "../transfer-actions.js";
import { createTransferForm } from "../transfer-create.js";
import {
  amountText,
  filesText,
  isMoving,
  leftText,
  placeText,
  rateText,
  shareOf,
  stateText,
} from "../transfer-text.js";

const STATES = ["PROGRESS", "QUEUED", "CANCELLED", "FAILED", "COMPLETED"];
const ENDED = ["FAILED", "COMPLETED"];
/** Those that have ended stay in the order in which they did. */
const RANK = [...STATES.filter((state) => !ENDED.includes(state)), "ended"];

/** All transfers with how far they are, those under way first. */
export function createTransfersView(context) {
  const { api, query, session, redraw, ask, notify } = context;
  // What goes on and what ended last is among the first, however many there are.
  const filter = { state: query.get("state") ?? "", order: "recent" };
  const form = createTransferForm({
    api,
    redraw,
    onMade: (id) => {
      notify(`${id}: it is queued`);
      location.hash = hashOf("transfers", id);
    },
  });
  const list = createPageList(context, {
    path: "/sync",
    filter,
    compare: byRank(RANK, ({ state }) => (ENDED.includes(state) ? "ended" : state)),
    toPage: (items, limit) => ({ items, next: items.length < limit ? undefined : items.at(-1).request_id }),
  });

  return {
    title: "Transfers",
    refreshMs: 2000,
    load: list.load,
    hears: ({ kind }) => kind.startsWith("transfer"),
    announces: () => (list.items() ?? []).map((transfer) => [transfer.request_id, sayTransfer(transfer)]),
    draw: () => html`
      <div class="section-head"><p class="soft">Files and trees that move from box to box, each proved whole before it gets its name.</p>
        ${
          session.may("operator")
            ? html`<button type="button" class="primary" @click=${() => form.open().catch((error) => notify(error.message, "error"))}>New transfer</button>`
            : nothing
        }</div>
      ${form.draw()}
      <form class="card filters" role="search" aria-label="Transfers" @submit=${(event) => event.preventDefault()}>
        <label class="field narrow">State
          <select @change=${(event) => {
            filter.state = event.target.value;
            ask();
          }}>${["", ...STATES].map((state) => html`<option value=${state} ?selected=${state === filter.state}>${state === "" ? "any" : stateText({ state })}</option>`)}</select></label>
      </form>
      ${list.draw({
        label: "Transfers",
        empty: filter.state === "" ? "No transfer yet." : "No transfer is like that.",
        keyOf: ({ request_id }) => request_id,
        drawRow: (transfer) => drawRow(transfer, context),
      })}
    `,
  };
}

/** A change of state, as it is said aloud; progress is not. */
export function sayTransfer(transfer) {
  const why = transfer.state === "FAILED" || transfer.comparison !== undefined ? `: ${transfer.reason}` : "";
  return `${transfer.mode === "verify" ? "Comparison" : "Transfer"} ${transfer.request_id} is ${stateText(transfer)}${why}`;
}

/** From where to where. Each place is broken only where it is longer than a line. */
export function drawTransferRoute({ source_box, source_path, destination_box, destination_path }) {
  const place = (box, path) => html`<span class="place">${placeText(box, path)}</span>`;
  return html`<p class="route">${place(source_box, source_path)} → ${place(destination_box, destination_path)}</p>`;
}

function drawRow(transfer, context) {
  const { request_id: id, state, reason, started_at: begun, updated_at: changed } = transfer;
  const nowMs = context.api.nowMs();
  // While it goes on, its record does not change with it.
  const when =
    state === "PROGRESS" && begun !== undefined
      ? html`begun ${drawAgo(begun, nowMs)}`
      : html`changed ${drawAgo(changed, nowMs)}`;
  // Of one that has not begun nothing is known yet.
  const facts = state === "QUEUED" ? [] : [filesText(transfer), rateText(transfer), leftText(transfer)].filter(Boolean);
  return html`<li class="card row-card" data-transfer=${id} data-state=${state}>
    <div class="row-name"><a href=${hashOf("transfers", id)}><b>${id}</b></a></div>
    <div class="row-states">${transfer.mode === "verify" ? html`<span class="soft">comparison</span> ` : nothing}${drawState(stateText(transfer))}</div>
    <div class="row-facts"><span>${when}</span>${facts.map((fact) => html`<span>${fact}</span>`)}</div>
    ${drawTransferActions(transfer, context)}
    ${isMoving(transfer) ? drawProgress({ label: `Progress of ${id}`, share: shareOf(transfer), text: amountText(transfer) }) : nothing}
    ${state === "COMPLETED" && transfer.comparison === undefined ? nothing : html`<p class="cause" data-tone=${state === "FAILED" ? "bad" : "neutral"}>${reason}</p>`}
    ${drawTransferRoute(transfer)}
  </li>`;
}
