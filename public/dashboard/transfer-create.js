import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { drawField, drawSelect } from "./field.js";
import { createFormSubmit } from "./form-submit.js";
import { toTransfer } from "./transfer-form.js";

const MODES = [
  ["copy", "copy it"],
  ["verify", "compare only"],
];
const VERIFY = [
  ["full", "each piece and the whole file"],
  ["transit", "each piece as it moves"],
  ["readback", "read again from the disk"],
];
const PRIORITIES = [
  ["normal", "normal"],
  ["high", "high"],
  ["low", "low"],
];
const ANY_BOX = ["", "whichever has the path"];

/** The form that asks for a transfer. `open` shows it, `onMade` gets its id. */
export function createTransferForm({ api, redraw, onMade }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  let boxes;

  const submit = sending.on(async (form) => {
    const { request_id: id } = await api.post("/sync", { body: toTransfer(new FormData(form)) });
    boxes = undefined;
    onMade(id);
  });
  const close = () => {
    boxes = undefined;
    redraw();
  };
  const area = (name, label, hint) => html`<div class="field">
    <label for=${`field-${name}`}>${label}</label>
    <textarea id=${`field-${name}`} name=${name} rows="2" spellcheck="false" aria-describedby=${`hint-${name}`}
      aria-invalid=${problem.isAt(name) ? "true" : nothing}></textarea>
    <span class="hint" id=${`hint-${name}`}>${hint}</span>
    ${problem.draw(name)}
  </div>`;

  return {
    open: async () => {
      problem.clear();
      const page = await api.get("/v1/boxes", { state: "approved", limit: 1000 });
      boxes = page.items;
      redraw();
    },
    draw: () => {
      if (boxes === undefined) return nothing;
      const options = [ANY_BOX, ...boxes.map(({ id, name }) => [id, name === id ? id : `${name} (${id})`])];
      const field = (given) => drawField(problem, given);
      return html`<form class="card stack" @submit=${submit} novalidate aria-label="New transfer">
        <div class="fields">
          ${drawSelect(problem, { name: "source_box", label: "From the box", options, value: "", hint: "It must be allowed to give the path" })}
          ${field({ name: "source_path", label: "Path there", required: true, placeholder: "/srv/recordings/day-1", hint: "A file, or a directory with all that is in it" })}
        </div>
        <div class="fields">
          ${drawSelect(problem, { name: "destination_box", label: "To the box", options, value: "", hint: "It must be allowed to take the path" })}
          ${field({ name: "destination_path", label: "Path there", required: true, placeholder: "/archive/day-1", hint: "What the copy is called" })}
        </div>
        <div class="fields">
          ${drawSelect(problem, { name: "mode", label: "What to do", options: MODES, value: "copy", hint: "To compare writes nothing: each side is hashed where it is" })}
          ${drawSelect(problem, { name: "verify", label: "Proved by", options: VERIFY, value: "full", hint: "Before a file gets its name" })}
          ${drawSelect(problem, { name: "priority", label: "Priority", options: PRIORITIES, value: "normal" })}
          ${field({ name: "bandwidth_mbps", label: "At most (Mbit/s)", inputmode: "decimal", placeholder: "no limit" })}
        </div>
        <details>
          <summary>Patterns, size of a chunk, what the source does not have</summary>
          <div class="stack">
            <div class="fields">
              ${area("include", "Only these", "Patterns such as *.mp4, one a line")}
              ${area("exclude", "Not these", "Patterns such as *.tmp, one a line")}
            </div>
            <div class="fields">
              ${field({ name: "chunk_size_mb", label: "MiB that are leased at a time", inputmode: "numeric", placeholder: "64" })}
            </div>
            <label class="check"><input type="checkbox" name="delete_extraneous" value="yes"> Remove at the destination what the source does not have</label>
          </div>
        </details>
        ${problem.drawRest()}
        ${sending.drawActions("Start the transfer", html`<button type="button" @click=${close}>Cancel</button>`)}
      </form>`;
    },
  };
}
