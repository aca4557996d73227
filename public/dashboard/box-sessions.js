import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { bytesText, countText } from "../shared/quantity.js";
import { drawSessionRow } from "./session-row.js";

const MOST = 200;

/** The sessions of one box, and what it can run sessions with. */
export function createBoxSessions(context, boxId) {
  let sessions = [];
  return {
    load: async (signal) => {
      sessions = (await context.api.get("/v1/sessions", { box: boxId, limit: MOST }, signal)).items;
    },
    draw: ({ sessions: facts }) => {
      if (facts === undefined && sessions.length === 0) return nothing;
      return html`<section aria-labelledby="sessions-title">
        <div class="section-head"><h2 id="sessions-title">Sessions <span class="soft">${sessions.length}</span></h2></div>
        ${facts === undefined ? nothing : drawPlatforms(facts)}
        ${sessions.length === 0 ? html`<p class="empty card">No session is on this box.</p>` : nothing}
        <ul class="rows" aria-label="Sessions">${repeat(
          sessions,
          ({ id }) => id,
          (view) => drawSessionRow(view, context, { withBox: false }),
        )}</ul>
      </section>`;
    },
  };
}

function drawPlatforms({ platforms, cores, memoryBytes, gpus, maxSessions }) {
  const room = [
    cores === undefined ? undefined : countText(cores, "processor"),
    memoryBytes === undefined ? undefined : `${bytesText(memoryBytes)} of memory`,
    gpus === undefined || gpus === 0 ? undefined : countText(gpus, "GPU"),
    maxSessions === undefined ? undefined : `at most ${countText(maxSessions, "session")}`,
  ].filter(Boolean);
  return html`<ul class="card plain-list" aria-label="Platforms">${platforms.map(
    ({ platform, isReady, reason, version }) => html`<li data-platform=${platform}>
      <b>${platform}</b><span class="state" data-tone=${isReady ? "good" : "bad"}>${isReady ? "ready" : "away"}</span>
      <span class="soft">${[version, reason].filter(Boolean).join(", ")}</span></li>`,
  )}
    ${room.length === 0 ? nothing : html`<li><span class="soft">${room.join(" · ")}</span></li>`}</ul>`;
}
