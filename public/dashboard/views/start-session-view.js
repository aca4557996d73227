import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { createFormSubmit } from "../form-submit.js";
import { createSessionFields } from "../session-fields.js";
import { toSession } from "../session-form.js";

/** After the last key that was pressed. */
const PREVIEW_AFTER_MS = 500;
const SHOWN_REASONS = 8;
/** Users are named by such words; a token may have any name. */
const USER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/;

/** A form that starts a session. Before that it shows where the hub would have it run, and why not elsewhere. */
export function createStartSessionView({ api, query, session, redraw, notify, signal }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  const fields = createSessionFields({ problem, redraw });
  const { name } = session.whoami();
  let boxes;
  let placement;
  /** Why nothing is known of a place yet. */
  let lack;
  let soon;
  let asked = 0;

  const look = async (form) => {
    const mine = ++asked;
    try {
      const answer = await api.post("/v1/sessions?dryRun=true", { body: toSession(new FormData(form)) });
      if (mine !== asked) return;
      placement = answer;
      lack = undefined;
    } catch (error) {
      if (mine !== asked) return;
      placement = undefined;
      lack = error.message;
    }
    if (!signal.aborted) redraw();
  };
  const lookSoon = (event) => {
    const form = event.currentTarget;
    clearTimeout(soon);
    soon = setTimeout(() => {
      if (form.elements.id.value.trim() !== "") void look(form);
    }, PREVIEW_AFTER_MS);
  };
  const submit = sending.on(async (form) => {
    const made = await api.post("/v1/sessions", { body: toSession(new FormData(form)) });
    notify(`${made.id}: ${made.box === undefined ? "no box can take it yet" : `${made.box} was asked to start it`}`);
    location.hash = hashOf("sessions", made.id);
  });

  return {
    title: "Start a session",
    load: async (loading) => {
      const page = await api.get("/v1/boxes", { state: "approved", limit: 1000 }, loading);
      boxes = page.items;
    },
    refreshMs: 30_000,
    close: () => clearTimeout(soon),
    draw: () => {
      if (boxes === undefined) return html`<p class="empty">Asking the hub…</p>`;
      return html`
        <form class="card stack" @submit=${submit} @input=${lookSoon} @change=${lookSoon} novalidate aria-label="Start a session">
          ${fields.draw({ boxes, box: query.get("box") ?? "", user: USER.test(name) ? name : "operator" })}
          <section class="placement" aria-label="Where it would run" aria-live="polite">${drawPlacement(placement, lack)}</section>
          ${problem.drawRest()}
          ${sending.drawActions("Start", html`<a class="button" href="#/sessions">Cancel</a>`)}
        </form>
      `;
    },
  };
}

function drawPlacement(placement, lack) {
  if (placement === undefined)
    return html`<p class="soft">${lack === undefined ? "Where it would run is shown here as you write." : `Not startable yet: ${lack}`}</p>`;
  const { box, reason, passedOver } = placement;
  const left = passedOver.length - SHOWN_REASONS;
  return html`
    <p>${box === undefined ? html`<b data-tone="bad">No box takes it now</b>` : html`It would run on <b>${box}</b>`}: ${reason}</p>
    ${
      passedOver.length === 0
        ? nothing
        : html`<ul class="plain-list">${passedOver
            .slice(0, SHOWN_REASONS)
            .map(
              (each) => html`<li><span>not on <b>${each.box}</b></span> <span class="soft">${each.reason}</span></li>`,
            )}</ul>`
    }
    ${left > 0 ? html`<p class="hint">and ${left} more</p>` : nothing}`;
}
