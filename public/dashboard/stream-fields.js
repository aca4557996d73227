import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { drawField, drawSelect } from "./field.js";
import { toWorkload, unshownOf } from "./stream-form.js";

const COPY_OR_ENCODE = [
  ["", "as the box decides"],
  ["copy", "copy"],
  ["none", "none"],
  ["encode", "encode"],
];
const MAX_OUTPUTS = 16;

/** The inputs of the form that starts and changes a stream. `fill` shows a workload; what was typed before is gone then. */
export function createStreamFields({ problem, redraw }) {
  let filled;
  let version = 0;
  let modes = { video: "", audio: "" };
  /** Each row has a key of its own, so that a row that goes takes no other's text with it. */
  let outputs = [];
  let nextKey = 0;

  const addOutput = (held, from = "") => outputs.push({ key: nextKey++, held, from });
  const setMode = (name) => (value) => {
    modes = { ...modes, [name]: value };
    redraw();
  };
  const drawOutput = ({ key, held, from }, index) => {
    const name = `workload.spec.outputs[${index}]`;
    const many = outputs.length > 1;
    return html`<div class="with-button">
      <input type="hidden" name=${`from[${index}]`} .defaultValue=${String(from)}>
      ${drawField(problem, {
        name: `${name}.url`,
        label: many ? `Output ${index + 1}` : "Output",
        value: held.url,
        required: true,
        placeholder: "rtmp://ingest.example/live/key",
        hint: index === 0 ? "rtmp://, srt://, rtsp://, udp://, an HLS playlist or a recording" : undefined,
      })}
      ${
        many
          ? html`<button type="button" aria-label=${`Take output ${index + 1} away`} @click=${() => {
              outputs = outputs.filter((one) => one.key !== key);
              redraw();
            }}>Take away</button>`
          : nothing
      }
      <label class="check"><input type="checkbox" name=${`${name}.needsAudio`} .defaultChecked=${held.needsAudio === true}>
        Add a silent track where the input has no sound</label>
    </div>`;
  };

  return {
    fill: (workload) => {
      filled = workload;
      version++;
      modes = { video: modeOf(workload.spec.video), audio: modeOf(workload.spec.audio) };
      outputs = [];
      for (const [index, output] of workload.spec.outputs.entries()) addOutput(output, index);
    },
    /** What stands in the form now. `held`: the workload that it changes. */
    read: (form, held) => toWorkload(new FormData(form), held),
    draw: () =>
      repeat(
        [version],
        (key) => key,
        () =>
          drawAll({
            problem,
            filled,
            modes,
            setMode,
            outputs,
            drawOutput,
            add: () => {
              addOutput({ url: "" });
              redraw();
            },
          }),
      ),
  };
}

function drawAll({ problem, filled, modes, setMode, outputs, drawOutput, add }) {
  const { spec, resources = {} } = filled;
  const field = (given) => drawField(problem, given);
  const unshown = unshownOf(filled);
  return html`
    ${field({ name: "workload.name", label: "Name (may stay empty)", value: filled.name })}
    ${field({
      name: "workload.spec.input.url",
      label: "Input",
      value: spec.input.url,
      required: true,
      hint: "rtsp://camera/1, rtmp://…, srt://…, a file of the box, or test://bars",
    })}
    ${repeat(outputs, ({ key }) => key, drawOutput)}
    <div class="actions"><button type="button" ?disabled=${outputs.length >= MAX_OUTPUTS} @click=${add}>Another output</button></div>
    ${field({
      name: "workload.pictureUrl",
      label: "Live picture (may stay empty)",
      value: filled.pictureUrl,
      placeholder: "wss://media.example/live/cam-1.flv",
      hint: "Where browsers can watch the stream: FLV or MPEG-TS, over HTTP or a WebSocket. Whoever sees the stream here sees this address",
    })}
    <details>
      <summary>Encoding, limits and order</summary>
      <div class="stack">
        <div class="fields">
          ${drawSelect(problem, { name: "workload.spec.video", label: "Video", value: modes.video, options: COPY_OR_ENCODE, onChange: setMode("video") })}
          ${drawSelect(problem, { name: "workload.spec.audio", label: "Sound", value: modes.audio, options: COPY_OR_ENCODE, onChange: setMode("audio") })}
          ${field({ name: "workload.priority", label: "Priority (0 to 100)", value: textOf(filled.priority), inputmode: "numeric", placeholder: "50" })}
          ${field({ name: "workload.resources.memory", label: "Memory at most", value: textOf(resources.memory), placeholder: "256Mi" })}
          ${field({ name: "workload.resources.cpu", label: "Processors at most", value: textOf(resources.cpu), placeholder: "1500m" })}
        </div>
        ${modes.video === "encode" ? drawVideo(field, objectOf(spec.video)) : nothing}
        ${modes.audio === "encode" ? drawAudio(field, objectOf(spec.audio)) : nothing}
      </div>
    </details>
    ${unshown.length === 0 ? nothing : html`<p class="hint">Kept as it is, and changed with <code>sluice apply</code>: ${unshown.join(", ")}</p>`}
  `;
}

function drawVideo(field, video) {
  const name = (part) => `workload.spec.video.${part}`;
  return html`<div class="fields">
    ${field({ name: name("encoder"), label: "Encoder", value: video.encoder ?? "libx264" })}
    ${field({ name: name("preset"), label: "Preset", value: video.preset, placeholder: "veryfast" })}
    ${field({ name: name("size"), label: "Size", value: video.size, placeholder: "1280x720" })}
    ${field({ name: name("fps"), label: "Frames a second", value: textOf(video.fps), inputmode: "decimal" })}
    ${field({ name: name("bitrateKbit"), label: "kbit/s", value: textOf(video.bitrateKbit), inputmode: "numeric" })}
    ${field({ name: name("gopFrames"), label: "Frames between key frames", value: textOf(video.gopFrames), inputmode: "numeric" })}
  </div>`;
}

function drawAudio(field, audio) {
  const name = (part) => `workload.spec.audio.${part}`;
  return html`<div class="fields">
    ${field({ name: name("encoder"), label: "Encoder of the sound", value: audio.encoder ?? "aac" })}
    ${field({ name: name("bitrateKbit"), label: "kbit/s of the sound", value: textOf(audio.bitrateKbit), inputmode: "numeric" })}
    ${field({ name: name("sampleRateHz"), label: "Samples a second", value: textOf(audio.sampleRateHz), inputmode: "numeric", placeholder: "48000" })}
    ${field({ name: name("channels"), label: "Channels", value: textOf(audio.channels), inputmode: "numeric", placeholder: "2" })}
  </div>`;
}

function modeOf(coding) {
  return typeof coding === "object" ? "encode" : (coding ?? "");
}

function objectOf(coding) {
  return typeof coding === "object" ? coding : {};
}

function textOf(value) {
  return value === undefined ? "" : String(value);
}
