import { html } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { drawField, drawSelect } from "../field.js";
import { createFormSubmit } from "../form-submit.js";
import { createStreamFields } from "../stream-fields.js";

const EXAMPLE = {
  spec: { input: { url: "test://bars?size=640x360&fps=25&tone=440" }, outputs: [{ url: "" }] },
};

/** A form that puts a stream into what a box should run. Everything is judged by the hub; its message stands at the field. */
export function createStartView({ api, query, redraw, notify }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  const fields = createStreamFields({ problem, redraw });
  fields.fill(EXAMPLE);
  let boxes;

  const submit = sending.on(async (form) => {
    const box = form.elements.box.value;
    const workload = fields.read(form);
    const path = pathOf("v1", "boxes", box, "workloads", workload.id);
    if (!form.elements.replace.checked && (await exists(path))) {
      throw Object.assign(new Error(`${workload.id} is there already on ${box}; choose another id, or replace it`), {
        field: "workload.id",
      });
    }
    await api.put(path, { body: { workload, desired: "running" } });
    notify(`${workload.id}: ${box} was asked to start it`);
    location.hash = hashOf("boxes", box, "workloads", workload.id);
  });
  const exists = async (path) => {
    try {
      await api.get(path);
      return true;
    } catch (error) {
      if (error.status === 404) return false;
      throw error;
    }
  };

  return {
    title: "Start a stream",
    load: async (signal) => {
      const page = await api.get("/v1/boxes", { state: "approved", limit: 1000 }, signal);
      // Those that can start it at once stand first.
      boxes = page.items.toSorted(
        (left, right) => Number(right.connection === "online") - Number(left.connection === "online"),
      );
    },
    refreshMs: 30_000,
    draw: () => {
      if (boxes === undefined) return html`<p class="empty">Asking the hub…</p>`;
      if (boxes.length === 0)
        return html`<p class="card empty">No box is approved yet. <a href="#/enrolment">Enrol one first</a>.</p>`;
      const field = (given) => drawField(problem, given);
      const chosen = query.get("box") ?? boxes[0].id;
      return html`
        <form class="card stack" @submit=${submit} novalidate aria-label="Start a stream">
          <div class="fields">
            ${drawSelect(problem, {
              name: "box",
              label: "Box",
              value: chosen,
              options: boxes.map(({ id, name }) => [id, name === id ? id : `${name} (${id})`]),
            })}
            ${field({ name: "workload.id", label: "Id", value: "cam-1", required: true, hint: "Letters, digits, dots, dashes, underscores" })}
          </div>
          ${fields.draw()}
          <label class="check"><input type="checkbox" name="replace">Replace a stream of this id</label>
          ${problem.drawRest()}
          ${sending.drawActions("Start")}
        </form>
      `;
    },
  };
}
