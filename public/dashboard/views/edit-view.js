import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { createFormSubmit } from "../form-submit.js";
import { drawLostUpdate, findLostUpdate } from "../lost-update.js";
import { createStreamFields } from "../stream-fields.js";

/** How often other changes of the same box may come in between before a person is asked. */
const ATTEMPTS = 5;

/** The form that a stream was started with, filled with what is there. It never overwrites what this person has not seen. */
export function createEditView({ api, params, redraw, notify }) {
  const { box, id } = params;
  const path = pathOf("v1", "boxes", box, "workloads", id);
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  const fields = createStreamFields({ problem, redraw });
  /** What the form was filled with, the revision that it is true of, and where the events stood before it was read. */
  let seen;
  let lost;

  const look = async (signal) => {
    const { next: cursor } = await api.get("/v1/events", { limit: 1 }, signal);
    const entry = await api.get(path, {}, signal);
    return { entry, revision: entry.revision, cursor };
  };
  const fill = (next) => {
    seen = next;
    lost = undefined;
    problem.clear();
    fields.fill(next.entry.workload);
    redraw();
  };
  /** Gives whether it was written. */
  const put = async (workload) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await api.put(path, { body: { workload }, revision: seen.revision });
        return true;
      } catch (error) {
        // The revision is the box's: it may be that another of its workloads was changed.
        if (error.status !== 409 || error.currentRevision === undefined || attempt === ATTEMPTS) throw error;
        lost = await findLostUpdate({ api, path, seen, place: { box, id }, currentRevision: error.currentRevision });
        if (lost !== undefined) return false;
        seen = { ...seen, revision: error.currentRevision };
      }
    }
  };
  const save = (form) =>
    sending.run(form, async () => {
      if (!(await put(fields.read(form, seen.entry.workload)))) return;
      notify(`${id}: saved`);
      location.hash = hashOf("boxes", box, "workloads", id);
    });
  const keepMine = (event) => {
    seen = { entry: lost.newer ?? seen.entry, revision: lost.revision, cursor: lost.cursor };
    lost = undefined;
    void save(event.target.form);
  };

  return {
    title: `Change ${id}`,
    load: async (signal) => {
      if (seen === undefined) fill(await look(signal));
    },
    refreshMs: 60_000,
    draw: () => {
      if (seen === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const { workload, owner } = seen.entry;
      if (owner !== undefined || workload.kind !== "stream") {
        return html`<p class="card empty">${id} is not changed here: it belongs to ${owner ?? `a ${workload.kind}`}.</p>`;
      }
      return html`
        <form class="card stack" novalidate aria-label=${`Change ${id}`} @submit=${(event) => {
          event.preventDefault();
          void save(event.currentTarget);
        }}>
          <p class="soft">On <a href=${hashOf("boxes", box)}>${box}</a>. What is masked (<code>***</code>) stays as it is while its
            place is left alone; another form of the stream takes over once it is proved to run.</p>
          ${fields.draw()}
          ${problem.drawRest()}
          ${lost === undefined ? nothing : drawLostUpdate(lost, { nowMs: api.nowMs(), keepMine, takeTheirs: () => fill({ entry: lost.newer, revision: lost.revision, cursor: lost.cursor }) })}
          ${sending.drawActions("Save", html`<a class="button" href=${hashOf("boxes", box, "workloads", id)}>Cancel</a>`)}
        </form>
      `;
    },
  };
}
