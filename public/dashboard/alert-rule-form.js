import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "./api.js";
import { drawField, drawSelect } from "./field.js";
import { createFormSubmit } from "./form-submit.js";

const CONDITIONS = [
  ["box-offline", "a box is offline"],
  ["workload-unwell", "a workload is unwell"],
  ["gap", "media is missing"],
  ["disk-full", "a disk fills up"],
];
const NEW = {
  id: "",
  condition: "box-offline",
  selector: "",
  forSeconds: 60,
  clearAfterSeconds: 60,
  threshold: 90,
  enabled: true,
  webhook: { url: "" },
};

/** Makes and changes one alert rule. */
export function createAlertRuleForm({ api, redraw, reload, notify }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  let edited;

  const save = sending.on(async (form) => {
    const value = (name) => form.elements[name].value.trim();
    const secret = value("webhook.secret");
    const body = {
      condition: value("condition"),
      selector: value("selector"),
      forSeconds: Number(value("forSeconds")),
      clearAfterSeconds: Number(value("clearAfterSeconds")),
      threshold: Number(value("threshold")),
      enabled: form.elements.enabled.checked,
      webhook: { url: value("webhook.url"), ...(secret === "" ? {} : { secret }) },
    };
    const { revision } = edited;
    await api.put(pathOf("v1", "alert-rules", value("id") || "-"), {
      body,
      ...(revision === undefined ? {} : { revision }),
    });
    notify(`${value("id")}: saved`);
    edited = undefined;
    void reload();
  });
  const close = () => {
    edited = undefined;
    redraw();
  };

  return {
    open: (rule = NEW) => {
      problem.clear();
      edited = rule;
      redraw();
    },
    draw: () => {
      if (edited === undefined) return nothing;
      const field = (given) => drawField(problem, given);
      return html`<form class="card stack" @submit=${save} novalidate aria-label="Alert rule">
        <div class="fields">
          ${field({ name: "id", label: "Id", value: edited.id, required: true })}
          ${drawSelect(problem, { name: "condition", label: "When", options: CONDITIONS, value: edited.condition })}
          ${field({ name: "selector", label: "Labels of the boxes", value: edited.selector, placeholder: "every box" })}
          ${field({ name: "forSeconds", label: "Fires after (seconds)", value: String(edited.forSeconds), inputmode: "numeric" })}
          ${field({ name: "clearAfterSeconds", label: "Ends after (seconds)", value: String(edited.clearAfterSeconds), inputmode: "numeric" })}
          ${field({ name: "threshold", label: "Disk in use (percent)", value: String(edited.threshold), inputmode: "numeric" })}
          ${field({ name: "webhook.url", label: "Webhook", value: edited.webhook.url, placeholder: "https://…", required: true })}
          ${field({ name: "webhook.secret", label: "Secret that signs (may stay empty)", type: "password", hint: "Never shown again; empty: stays as it is" })}
        </div>
        <label class="check"><input type="checkbox" name="enabled" .checked=${edited.enabled}>Enabled</label>
        ${problem.drawRest()}
        ${sending.drawActions("Save", html`<button type="button" @click=${close}>Cancel</button>`)}
      </form>`;
    },
  };
}
