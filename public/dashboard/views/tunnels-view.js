import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { byRank, createPageList } from "../page-list.js";
import { drawAgo } from "../time.js";
import { drawState } from "../tone.js";
import { drawTunnelActions } from "../tunnel-actions.js";
import { createTunnelForm } from "../tunnel-create.js";
import { connectionsText, endsText, keysText, latencyText, rateText } from "../tunnel-text.js";

const RANK = ["down", "degraded", "requested", "prepared", "linked", "ending", "up"];
const PHASES = ["", ...RANK.toReversed()];

/** All tunnels as pairs of boxes, those that do not carry first. */
export function createTunnelsView(context) {
  const { api, query, session, redraw, ask, notify } = context;
  const filter = { box: query.get("box") ?? "", phase: query.get("phase") ?? "" };
  const form = createTunnelForm({
    api,
    redraw,
    onMade: ({ uid }) => {
      notify(`${uid}: its ends are told`);
      location.hash = hashOf("tunnels", uid);
    },
  });
  const list = createPageList(context, { path: "/v1/tunnels", filter, compare: byRank(RANK, ({ phase }) => phase) });

  return {
    title: "Tunnels",
    load: list.load,
    hears: ({ kind }) => kind.startsWith("tunnel"),
    announces: () =>
      (list.items() ?? []).map(({ uid, name, phase, reason }) => [uid, sayPhase({ uid, name, phase, reason })]),
    draw: () => html`
      <div class="section-head"><p class="soft">Two sites joined by verified encryption: what connects at an entry point comes out at a source.</p>
        ${
          session.may("operator")
            ? html`<button type="button" class="primary" @click=${() => form.open().catch((error) => notify(error.message, "error"))}>New tunnel</button>`
            : nothing
        }</div>
      ${form.draw()}
      <form class="card filters" role="search" aria-label="Tunnels" @submit=${(event) => event.preventDefault()}>
        <label class="field">Box at either end
          <input type="search" spellcheck="false" .defaultValue=${filter.box} @change=${(event) => {
            filter.box = event.target.value.trim();
            ask();
          }}></label>
        <label class="field narrow">Phase
          <select @change=${(event) => {
            filter.phase = event.target.value;
            ask();
          }}>${PHASES.map((phase) => html`<option value=${phase} ?selected=${phase === filter.phase}>${phase || "any"}</option>`)}</select></label>
      </form>
      ${list.draw({
        label: "Tunnels",
        empty: filter.box + filter.phase === "" ? "No tunnel yet." : "No tunnel is like that.",
        keyOf: ({ uid }) => uid,
        drawRow: (tunnel) => drawRow(tunnel, context),
      })}
    `,
  };
}

/** A change of phase, as it is said aloud. */
export function sayPhase({ uid, name = uid, phase, reason }) {
  return `Tunnel ${name} is ${phase}${reason === undefined ? "" : `: ${reason}`}`;
}

function drawRow(tunnel, context) {
  const { uid, name, producer, consumer, phase, reason, since, ways } = tunnel;
  const nowMs = context.api.nowMs();
  const facts = [
    latencyText(tunnel),
    rateText(tunnel),
    connectionsText(tunnel),
    keysText(tunnel),
    tunnel.endsAt === undefined ? undefined : `ends ${endsText(tunnel, nowMs)}`,
  ].filter(Boolean);
  return html`<li class="card row-card" data-tunnel=${uid} data-phase=${phase}>
    <div class="row-name"><a href=${hashOf("tunnels", uid)}><b>${name ?? uid}</b></a>
      <span class="pair"><a href=${hashOf("boxes", producer)}>${producer}</a> <span aria-hidden="true">↔</span><span class="hidden"> to </span> <a href=${hashOf("boxes", consumer)}>${consumer}</a></span></div>
    <div class="row-states">${drawState(phase)}${tunnel.keys.isRotating ? html`<span class="state" data-tone="busy">changing keys</span>` : nothing}</div>
    <div class="row-facts"><span>since ${drawAgo(since, nowMs)}</span>${facts.map((fact) => html`<span>${fact}</span>`)}</div>
    ${drawTunnelActions(tunnel, context)}
    ${reason === undefined ? nothing : html`<p class="cause" data-tone=${phase === "down" ? "bad" : "warn"}>${reason}</p>`}
    <p class="route">${ways.slice(0, 3).map(({ entry, gateway, source }) => html`<span class="way">${entry} → ${gateway} → ${source}</span> `)}${
      ways.length > 3 ? `and ${ways.length - 3} more` : ""
    }</p>
  </li>`;
}
