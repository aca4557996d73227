import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { confirmAction } from "../confirm.js";
import { drawField } from "../field.js";
import { createFormSubmit } from "../form-submit.js";
import { drawAgo } from "../time.js";

const TEMPLATE = {
  kind: "stream",
  id: "gate",
  spec: { input: "rtsp://camera.{{label.site}}.example/1", outputs: ["rtmp://ingest.example/live/{{box.id}}"] },
};

/** One workload on every box whose labels match. */
export function createRolloutsView({ api, session, redraw, reload, attempt, notify }) {
  const sending = createFormSubmit(redraw);
  let rollouts;
  let edited;

  const save = sending.on(async (form) => {
    const { id, selector, template, enabled } = form.elements;
    const body = { selector: selector.value, template: parseTemplate(template.value), enabled: enabled.checked };
    const { revision } = edited;
    await api.put(pathOf("v1", "rollouts", id.value.trim() || "-"), {
      body,
      ...(revision === undefined ? {} : { revision }),
    });
    notify(`${id.value}: saved`);
    edited = undefined;
    void reload();
  });
  const remove = async ({ id, boxes }) => {
    const agreed = await confirmAction({
      title: `Remove the rollout ${id}?`,
      text: `Its workload is taken from the ${boxes.placed} boxes that have it.`,
      action: "Remove",
    });
    if (agreed) await attempt(`${id} is removed`, () => api.remove(pathOf("v1", "rollouts", id)));
  };
  const edit = (rollout) => {
    sending.problem.clear();
    edited = rollout;
    redraw();
  };

  return {
    title: "Rollouts",
    load: async (signal) => {
      const page = await api.get("/v1/rollouts", {}, signal);
      rollouts = page.items;
    },
    hears: ({ kind }) => kind.startsWith("rollout") || kind.startsWith("expected."),
    draw: () => html`
      <div class="section-head"><p class="soft">One workload on every box whose labels match, filled in with what the box is.</p>
        ${
          session.may("operator")
            ? html`<button type="button" class="primary" @click=${() => edit({ id: "", selector: "", template: TEMPLATE, enabled: true })}>New rollout</button>`
            : nothing
        }</div>
      ${edited === undefined ? nothing : drawForm({ edited, sending, save, cancel: () => edit(undefined) })}
      ${rollouts?.length === 0 ? html`<p class="empty card">No rollout yet.</p>` : nothing}
      <ul class="rows" aria-label="Rollouts">${repeat(
        rollouts ?? [],
        ({ id }) => id,
        (rollout) => html`<li class="card row-card" data-rollout=${rollout.id}>
          <div class="row-name"><b>${rollout.id}</b> <code>${rollout.selector || "every box"}</code></div>
          <div class="row-states"><span class="state" data-tone=${rollout.enabled ? "good" : "neutral"}>${rollout.enabled ? "enabled" : "off"}</span></div>
          <div class="row-facts"><span>placed on ${rollout.boxes.placed} of ${rollout.boxes.matching} boxes</span>
            <span>changed ${drawAgo(rollout.updatedAt, api.nowMs())}</span></div>
          ${
            session.may("operator")
              ? html`<div class="actions row-actions"><button type="button" aria-label=${`Change ${rollout.id}`} @click=${() => edit(rollout)}>Change</button>
                <button type="button" class="danger" aria-label=${`Remove ${rollout.id}`} @click=${() => remove(rollout)}>Remove</button></div>`
              : nothing
          }
          ${rollout.boxes.failed.map(
            ({ box, reason }) =>
              html`<p class="cause" data-tone="bad"><a href=${hashOf("boxes", box)}>${box}</a>: ${reason}</p>`,
          )}
        </li>`,
      )}</ul>
    `,
  };
}

function drawForm({ edited, sending, save, cancel }) {
  const { problem } = sending;
  return html`<form class="card stack" @submit=${save} novalidate aria-label="Rollout">
    <div class="fields">
      ${drawField(problem, { name: "id", label: "Id", value: edited.id, required: true })}
      ${drawField(problem, { name: "selector", label: "Labels of the boxes", value: edited.selector, placeholder: "site=north, !spare" })}
    </div>
    <label class="field">Workload
      <textarea name="template" rows="12" spellcheck="false" aria-invalid=${problem.isAt("template") ? "true" : nothing}
        .defaultValue=${JSON.stringify(edited.template, null, 2)}></textarea>
      <span class="hint">JSON. {{box.id}}, {{box.name}} and {{label.site}} are filled in for each box.</span>
      ${problem.draw("template")}</label>
    <label class="check"><input type="checkbox" name="enabled" .checked=${edited.enabled}>Enabled</label>
    ${problem.drawRest()}
    ${sending.drawActions("Save", html`<button type="button" @click=${cancel}>Cancel</button>`)}
  </form>`;
}

function parseTemplate(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`template: no JSON (${error.message})`), { field: "template" });
  }
}
