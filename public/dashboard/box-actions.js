import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { confirmAction } from "./confirm.js";
import { drawField } from "./field.js";
import { createFormSubmit } from "./form-submit.js";
import { labelsText, parseLabels } from "./labels.js";
import { drawAgo } from "./time.js";

/** What a person may do to a box itself. Viewers get nothing. */
export function createBoxActions({ api, session, attempt, redraw, reload, notify }, path) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;

  const saveOf = (box) =>
    sending.on(async (form) => {
      const body = { name: form.elements.name.value, labels: parseLabels(form.elements.labels.value) };
      await api.patch(path, { body, revision: box.revision });
      notify(`${box.id}: saved`);
      void reload();
    });
  const drain = (box) =>
    attempt(box.draining ? `${box.id} takes work again` : `${box.id} is draining`, () =>
      api.patch(path, { body: { draining: !box.draining }, revision: box.revision }),
    );
  const approve = (box) => attempt(`${box.id} is approved`, () => api.post(`${path}/approve`));
  const release = (box) => attempt(`${box.id} is out of quarantine`, () => api.post(`${path}/release`));
  const revoke = async (box) => {
    const agreed = await confirmAction({
      title: `Revoke the key of ${box.id}?`,
      text: "It is cut off within seconds and cannot come back without a new enrolment. Its streams go on as they are.",
      action: "Revoke",
    });
    if (agreed) await attempt(`${box.id} is revoked`, () => api.post(`${path}/revoke`));
  };
  const forget = async (box) => {
    const agreed = await confirmAction({
      title: `Forget ${box.id}?`,
      text: "What was expected of it, its history and its figures are gone for good.",
      action: "Forget",
    });
    if (!agreed) return;
    if (await attempt(`${box.id} is forgotten`, () => api.remove(path))) location.hash = "#/boxes";
  };
  const admin = (box) => html`
    ${box.state === "revoked" ? nothing : html`<button type="button" class="danger" @click=${() => revoke(box)}>Revoke</button>`}
    <button type="button" class="danger" @click=${() => forget(box)}>Forget</button>
  `;

  return {
    /** What keeps the box from working until a person decides, with the decision at hand. */
    drawStanding: (box, nowMs) => {
      if (box.state === "pending") {
        return drawDecision(
          html`<b>It waits for approval</b>, enrolled ${drawAgo(box.createdAt, nowMs)}. Until then it is heard and gets nothing to do.`,
          { label: "Approve", act: () => approve(box), isAdmin: session.may("admin") },
        );
      }
      if (box.quarantine === undefined) return nothing;
      return drawDecision(
        html`<b>In quarantine</b> since ${drawAgo(box.quarantine.since, nowMs)}: ${box.quarantine.reason}. What it runs goes on; it gets nothing new.`,
        { label: "Release from quarantine", act: () => release(box), isAdmin: session.may("admin") },
      );
    },
    draw: (box) => {
      if (!session.may("operator")) return nothing;
      return html`
        <details class="more-actions">
          <summary>Change this box</summary>
          <form class="fields" @submit=${saveOf(box)} novalidate aria-label="Name and labels">
            ${drawField(problem, { name: "name", label: "Name", value: box.name, required: true })}
            ${drawField(problem, { name: "labels", label: "Labels", value: labelsText(box.labels), placeholder: "site=north, gpu" })}
            ${problem.drawRest()}
            ${sending.drawActions("Save")}
          </form>
          <div class="actions wrap">
            <button type="button" @click=${() => drain(box)}>${box.draining ? "Stop draining" : "Drain"}</button>
            ${session.may("admin") ? admin(box) : nothing}
          </div>
        </details>
      `;
    },
  };
}

function drawDecision(text, { label, act, isAdmin }) {
  return html`<div class="standing" data-standing><p>${text}</p>
    ${isAdmin ? html`<button type="button" class="primary" @click=${act}>${label}</button>` : html`<p class="hint">An admin decides it.</p>`}</div>`;
}
