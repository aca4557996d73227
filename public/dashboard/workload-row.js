import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { countText } from "../shared/quantity.js";
import { hashOf } from "./address.js";
import { kbitPerSecond, plain, times } from "./figure-text.js";
import { programText } from "./session-text.js";
import { drawState, isUnwell, stateOf } from "./tone.js";
import { drawWorkloadActions } from "./workload-actions.js";

/** One workload in a list: its state and cause, and what is counted of it. */
export function drawWorkloadRow(entry, context) {
  const { workload, box, boxName, status, owner } = entry;
  const media = status?.media;
  return html`<li class="card row-card" data-workload=${workload.id} data-state=${stateOf(entry)}>
    <div class="row-name">
      <a href=${workload.kind === "session" ? hashOf("sessions", workload.id) : hashOf("boxes", box, "workloads", workload.id)}><b>${workload.name ?? workload.id}</b></a>
      ${boxName === undefined ? nothing : html`<span class="soft">on <a href=${hashOf("boxes", box)}>${boxName}</a></span>`}
    </div>
    <div class="row-states">${drawState(stateOf(entry))}${owner === undefined ? nothing : html`<span class="state">${owner}</span>`}</div>
    <div class="row-facts">
      ${media?.fps === undefined ? nothing : html`<span>${plain(media.fps)} fps</span>`}
      ${media?.bitrateKbit === undefined ? nothing : html`<span>${kbitPerSecond(media.bitrateKbit)}</span>`}
      ${media?.speed === undefined ? nothing : html`<span>${times(media.speed)}</span>`}
      ${status === undefined ? nothing : html`<span>${countText(status.restarts, "restart")}</span>`}
      ${status?.segments === undefined ? nothing : html`<span data-tone=${status.segments.failed > 0 ? "bad" : nothing}>${segmentsText(status.segments)}</span>`}
    </div>
    ${drawWorkloadActions(entry, context)}
    ${isUnwell(entry) && status?.cause !== undefined ? html`<p class="cause" data-tone="bad">${status.cause}</p>` : nothing}
    <p class="route">${routeOf(entry)}</p>
  </li>`;
}

/** `12 moved, 2 wait, 1 failed`: finished recordings, where a rule moves them. */
export function segmentsText({ moved, waiting, failed }) {
  return [`${moved} moved`, waiting > 0 ? `${waiting} wait` : "", failed > 0 ? `${failed} failed` : ""]
    .filter((part) => part !== "")
    .join(", ");
}

export function routeOf({ workload, status }) {
  if (status !== undefined && status.description !== "") return status.description;
  if (workload.kind === "session") return programText(workload.spec);
  const { input, outputs, legs } = workload.spec;
  if (legs !== undefined)
    return legs.map(({ listen, connect }) => `${pointOf(listen)} → ${pointOf(connect)}`).join(", ");
  return `${addressOf(input)} → ${outputs.map(addressOf).join(", ")}`;
}

function pointOf({ address, host = address, port }) {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function addressOf(end) {
  return typeof end === "string" ? end : end.url;
}
