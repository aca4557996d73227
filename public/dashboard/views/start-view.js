import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { drawField, drawSelect } from "../field.js";
import { createFormProblem } from "../form-problem.js";
import { toWorkload } from "../stream-form.js";

const COPY_OR_ENCODE = [
  ["", "as the box decides"],
  ["copy", "copy"],
  ["none", "none"],
  ["encode", "encode"],
];

/** A form that puts a stream into what a box should run. Everything is judged by the hub; its message stands at the field. */
export function createStartView({ api, query, redraw, notify }) {
  const problem = createFormProblem(redraw);
  let boxes;
  let videoMode = "";
  let isBusy = false;

  const submit = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const box = form.elements.box.value;
    problem.clear();
    isBusy = true;
    redraw();
    try {
      const workload = toWorkload(new FormData(form));
      const path = pathOf("v1", "boxes", box, "workloads", workload.id);
      if (!form.elements.replace.checked && (await exists(path))) {
        throw Object.assign(new Error(`${workload.id} is there already on ${box}; choose another id, or replace it`), {
          field: "workload.id",
        });
      }
      await api.put(path, { body: { workload, desired: "running" } });
      notify(`${workload.id}: ${box} was asked to start it`);
      location.hash = hashOf("boxes", box, "workloads", workload.id);
    } catch (error) {
      problem.show(error, form);
    }
    isBusy = false;
    redraw();
  };
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
            ${field({ name: "workload.name", label: "Name (may stay empty)" })}
          </div>
          ${field({
            name: "workload.spec.input.url",
            label: "Input",
            value: "test://bars?size=640x360&fps=25&tone=440",
            required: true,
            hint: "rtsp://camera/1, rtmp://…, srt://…, a file of the box, or test://bars",
          })}
          ${field({
            name: "workload.spec.outputs[0].url",
            label: "Output",
            required: true,
            placeholder: "rtmp://ingest.example/live/key",
            hint: "rtmp://, srt://, rtsp://, udp://, an HLS playlist or a recording",
          })}
          ${field({
            name: "workload.pictureUrl",
            label: "Live picture (may stay empty)",
            placeholder: "wss://media.example/live/cam-1.flv",
            hint: "Where browsers can watch the stream: FLV or MPEG-TS, over HTTP or a WebSocket. Whoever sees the stream here sees this address",
          })}
          <details>
            <summary>Encoding, limits and order</summary>
            <div class="stack">
              <div class="fields">
                ${drawSelect(problem, {
                  name: "workload.spec.video",
                  label: "Video",
                  value: videoMode,
                  options: COPY_OR_ENCODE,
                  onChange: (value) => {
                    videoMode = value;
                    redraw();
                  },
                })}
                ${drawSelect(problem, { name: "workload.spec.audio", label: "Sound", value: "", options: COPY_OR_ENCODE.slice(0, 3) })}
                ${field({ name: "workload.priority", label: "Priority (0 to 100)", inputmode: "numeric", placeholder: "50" })}
                ${field({ name: "workload.resources.memory", label: "Memory at most", placeholder: "256Mi" })}
                ${field({ name: "workload.resources.cpu", label: "Processors at most", placeholder: "1500m" })}
              </div>
              ${videoMode === "encode" ? drawEncoding(field) : nothing}
              <label class="check"><input type="checkbox" name="needsAudio">Add a silent track where the input has no sound</label>
            </div>
          </details>
          <label class="check"><input type="checkbox" name="replace">Replace a stream of this id</label>
          ${problem.drawRest()}
          <div class="actions"><button type="submit" class="primary" ?disabled=${isBusy}>Start</button></div>
        </form>
      `;
    },
  };
}

function drawEncoding(field) {
  return html`<div class="fields">
    ${field({ name: "workload.spec.video.encoder", label: "Encoder", value: "libx264" })}
    ${field({ name: "workload.spec.video.preset", label: "Preset", placeholder: "veryfast" })}
    ${field({ name: "workload.spec.video.size", label: "Size", placeholder: "1280x720" })}
    ${field({ name: "workload.spec.video.fps", label: "Frames a second", inputmode: "decimal" })}
    ${field({ name: "workload.spec.video.bitrateKbit", label: "kbit/s", inputmode: "numeric" })}
    ${field({ name: "workload.spec.video.gopFrames", label: "Frames between key frames", inputmode: "numeric" })}
  </div>`;
}
