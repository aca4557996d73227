import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { drawFacts } from "../facts.js";
import { drawTable } from "../history.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";
import { drawTunnelActions } from "../tunnel-actions.js";
import { drawTunnelEnd } from "../tunnel-end.js";
import { connectionsText, endsText, keysText, latencyText, rateText, stepText } from "../tunnel-text.js";
import { sayPhase } from "./tunnels-view.js";

/** One tunnel: its phase and why, how it came to be, its ways, and both ends with their proofs. */
export function createTunnelView(context) {
  const { api, params } = context;
  const path = pathOf("v1", "tunnels", params.uid);
  let tunnel;
  let isGone = false;

  return {
    title: () => tunnel?.name ?? params.uid,
    load: async (signal) => {
      try {
        tunnel = await api.get(path, {}, signal);
        isGone = false;
      } catch (error) {
        if (error.status !== 404) throw error;
        isGone = true;
      }
    },
    hears: ({ kind }) => kind.startsWith("tunnel"),
    announces: () =>
      tunnel === undefined ? [] : [[params.uid, isGone ? `Tunnel ${params.uid} has ended` : sayPhase(tunnel)]],
    draw: () => {
      if (isGone)
        return html`<p class="card empty">There is no tunnel ${params.uid} any more. <a href="#/tunnels">All tunnels</a></p>`;
      if (tunnel === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const nowMs = api.nowMs();
      const { producer, consumer, phase, reason, since, ways, ends, uid } = tunnel;
      return html`
        <section class="card" aria-label="State" data-tunnel=${uid} data-phase=${phase}>
          <div class="section-head">
            <div class="row-states">${drawState(phase)}${tunnel.keys.isRotating ? html`<span class="state" data-tone="busy">changing keys</span>` : nothing}</div>
            ${drawTunnelActions(tunnel, context, () => {
              location.hash = "#/tunnels";
            })}
          </div>
          <p class="pair"><a href=${hashOf("boxes", producer)}>${producer}</a> <span aria-hidden="true">↔</span><span class="hidden"> to </span> <a href=${hashOf("boxes", consumer)}>${consumer}</a></p>
          ${reason === undefined ? nothing : html`<p class="cause" data-tone=${phase === "down" ? "bad" : "warn"}>${reason}</p>`}
          ${drawFacts([
            ["uid", html`<code>${uid}</code>`],
            ["since", drawAgo(since, nowMs)],
            ["latency", latencyText(tunnel)],
            ["rate", rateText(tunnel)],
            ["open", connectionsText(tunnel)],
            ["keys", keysText(tunnel)],
            ["keys since", drawAgo(tunnel.keys.since, nowMs)],
            ["TLS", tunnel.minTls === "1.3" ? "1.3 only" : "1.2 or newer"],
            ["ends", endsText(tunnel, nowMs)],
            ["asked for", drawTime(tunnel.createdAt)],
          ])}
          ${drawSteps(tunnel)}
        </section>
        ${drawTable({
          title: "Ways through",
          none: "No port is given yet.",
          heads: ["entry, at the consumer", "gateway of the producer", "source"],
          rows: ways.map(({ entry, gateway, gatewayListen, source }) => [
            html`<code>${entry}</code>`,
            html`<code>${gateway}</code>${gateway === gatewayListen ? nothing : html` <span class="soft">listens on <code>${gatewayListen}</code></span>`}`,
            html`<code>${source}</code>`,
          ]),
          shown: 128,
        })}
        <div class="columns">
          ${drawTunnelEnd({ role: "producer", box: producer, end: ends.producer }, nowMs)}
          ${drawTunnelEnd({ role: "consumer", box: consumer, end: ends.consumer }, nowMs)}
        </div>
      `;
    },
  };
}

/** When each phase was reached the first time, in ms from the request. */
function drawSteps({ steps }) {
  if (steps.length === 0) return nothing;
  return html`<ol class="steps" aria-label="How it came up">${steps.map(
    ({ phase, afterMs }) => html`<li><b>${phase}</b> <span class="soft">after ${stepText(afterMs)}</span></li>`,
  )}</ol>`;
}
