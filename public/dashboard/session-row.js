import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "./address.js";
import { drawSessionActions } from "./session-actions.js";
import {
  connectionsText,
  cpuText,
  idleText,
  isWebAddress,
  memoryText,
  programText,
  reasonTone,
  sleepText,
} from "./session-text.js";
import { drawAgo } from "./time.js";
import { drawState } from "./tone.js";

/** One session in a list: its state and why, where it is reached, and what it uses. */
export function drawSessionRow(view, context, { withBox = true } = {}) {
  const { id, name, box, user, state, reason, since, session, wish } = view;
  const nowMs = context.api.nowMs();
  const facts = [
    `for ${user}`,
    session?.platform,
    cpuText(view),
    memoryText(view),
    connectionsText(view),
    state === "hibernated" ? sleepText(view, nowMs) : idleText(view, nowMs),
  ].filter(Boolean);
  return html`<li class="card row-card" data-session=${id} data-state=${state}>
    <div class="row-name"><a href=${hashOf("sessions", id)}><b>${name ?? id}</b></a>
      ${withBox && box !== undefined ? html`<span class="soft">on <a href=${hashOf("boxes", box)}>${box}</a></span>` : nothing}</div>
    <div class="row-states">${drawState(state)}</div>
    <div class="row-facts"><span>since ${drawAgo(since, nowMs)}</span>${facts.map((fact) => html`<span>${fact}</span>`)}</div>
    ${drawSessionActions(view, context)}
    ${reason === undefined ? nothing : html`<p class="cause" data-tone=${reasonTone(view)}>${reason}</p>`}
    <p class="route">${programText(wish)} ${(session?.endpoints ?? []).map((endpoint) => html`<span class="way">${drawEndpoint(endpoint)}</span> `)}</p>
  </li>`;
}

/** A link where a browser can follow it: in a tab of its own that knows nothing of this page. */
export function drawEndpoint({ name, url }) {
  if (!isWebAddress(url)) return html`<code>${url}</code>`;
  return html`<a href=${url} target="_blank" rel="noopener noreferrer" referrerpolicy="no-referrer"
    aria-label=${`${name}, ${url}, opens in a new tab`}>${url}</a>`;
}
