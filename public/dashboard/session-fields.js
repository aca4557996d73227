import { html } from "/vendor/lit-html/lit-html.js";
import { drawField, drawSelect } from "./field.js";
import { createRowList } from "./row-list.js";
import { isSecretName } from "./session-form.js";

const PLATFORMS = [
  ["", "what the box has"],
  ["docker", "Docker"],
  ["podman", "Podman"],
  ["process", "a plain process"],
];
const RESTARTS = [
  ["", "always"],
  ["on-failure", "after a failure"],
  ["never", "never"],
];
const DEPTHS = [
  ["", "files: it wakes like after a restart"],
  ["frozen", "memory too: it wakes at once"],
];
const LOST = [
  ["", "it waits for its box"],
  ["move", "it is started on another"],
];

/** The inputs of the form that starts a session. Their names are where their values stand in the request. */
export function createSessionFields({ problem, redraw }) {
  const field = (given) => drawField(problem, given);
  const secrets = new Map();
  let kind = "image";

  const ports = createRowList({
    at: "template.ports",
    title: "Ports",
    add: "Add a port",
    noun: "port",
    most: 50,
    redraw,
    draw: (at) => html`
      ${field({ name: `${at}.port`, label: "Port of the application", inputmode: "numeric", required: true })}
      ${field({ name: `${at}.scheme`, label: "Kind of address", placeholder: "http", list: "schemes" })}
      ${drawSelect(problem, { name: `${at}.protocol`, label: "Protocol", value: "tcp", options: ["tcp", "udp"].map((word) => [word, word]) })}
      ${field({ name: `${at}.hostPort`, label: "Port of the box", inputmode: "numeric", placeholder: "any free one" })}
      ${field({ name: `${at}.address`, label: "Address of the box", placeholder: "as the box decides" })}`,
  });
  const variables = createRowList({
    at: "template.env",
    title: "Environment",
    add: "Add a variable",
    noun: "variable",
    most: 100,
    redraw,
    draw: (at, key) => html`
      ${field({
        name: `${at}.name`,
        label: "Name",
        placeholder: "API_KEY",
        onInput: (name) => {
          secrets.set(key, isSecretName(name));
          redraw();
        },
      })}
      ${field({ name: `${at}.value`, label: "Value", type: secrets.get(key) ? "password" : "text", hint: secrets.get(key) ? "By its name a secret: shown to nobody" : undefined })}`,
  });
  const volumes = createRowList({
    at: "volumes",
    title: "Volumes",
    add: "Add a volume",
    noun: "volume",
    most: 20,
    redraw,
    draw: (at) => html`
      ${field({ name: `${at}.name`, label: "Name", placeholder: "data", required: true })}
      ${field({ name: `${at}.path`, label: "Path in the application", placeholder: "/var/lib/app", required: true })}
      ${field({ name: `${at}.hostPath`, label: "Directory of the box", placeholder: "one of its own" })}
      ${drawSelect(problem, {
        name: `${at}.onStop`,
        label: "At its stop",
        value: "keep",
        options: [
          ["keep", "kept"],
          ["delete", "deleted"],
        ],
      })}
      <label class="check"><input type="checkbox" name=${`${at}.readOnly`}> Read only</label>`,
  });

  return {
    /** @param {{boxes: readonly object[], box: string, user: string}} given */
    draw: ({ boxes, box, user }) => html`
      <div class="fields">
        ${field({ name: "id", label: "Id", required: true, placeholder: "web", hint: "Small letters, digits and dashes" })}
        ${field({ name: "name", label: "Name (may stay empty)" })}
        ${field({ name: "user", label: "User", value: user, required: true, hint: "Whose it is" })}
      </div>
      <div class="fields">
        ${drawSelect(problem, {
          name: "box",
          label: "Box",
          hint: "The hub takes the one with room and the fewest sessions",
          value: box,
          options: [
            ["", "the hub chooses"],
            ...boxes.map(({ id, name }) => [id, name === id ? id : `${name} (${id})`]),
          ],
        })}
        ${field({ name: "select", label: "Only boxes with these labels", placeholder: "site=north, gpu", hint: "Of those the hub may choose" })}
        ${drawSelect(problem, { name: "platform", label: "Platform", value: "", options: PLATFORMS, hint: "What runs it" })}
      </div>
      <fieldset class="segments"><legend>What it is</legend>
        ${[
          ["image", "An image"],
          ["command", "A program of the box"],
        ].map(
          ([value, label]) =>
            html`<label><input type="radio" name="kind" value=${value} ?checked=${value === kind} @change=${() => {
              kind = value;
              redraw();
            }}><span>${label}</span></label>`,
        )}
      </fieldset>
      ${
        kind === "image"
          ? html`<div class="fields">
            ${field({ name: "template.image", label: "Image", required: true, placeholder: "nginx:1.27" })}
            ${field({ name: "template.args", label: "Arguments (may stay empty)", hint: "Quotes keep blanks together" })}
          </div>`
          : field({
              name: "template.command",
              label: "Program and arguments",
              required: true,
              placeholder: "/usr/bin/player --loop 'my clip.mp4'",
              hint: "Quotes keep blanks together; no shell reads it",
            })
      }
      ${ports.draw()}
      ${variables.draw()}
      ${volumes.draw()}
      <div class="fields">
        ${field({ name: "resources.cpu", label: "Processors at most", placeholder: "500m" })}
        ${field({ name: "resources.memory", label: "Memory at most", placeholder: "512Mi" })}
        ${field({ name: "idleTimeout", label: "Hibernates when unused for", placeholder: "never", hint: "45s, 30m, 1h30m" })}
        ${drawSelect(problem, { name: "hibernation", label: "Hibernation keeps", value: "", options: DEPTHS, hint: "Frozen holds its memory, and needs no start" })}
      </div>
      <details>
        <summary>How long, restarts and GPUs</summary>
        <div class="stack"><div class="fields">
          ${field({ name: "maxDuration", label: "Ends after", placeholder: "never" })}
          ${drawSelect(problem, { name: "restart", label: "Started again", value: "", options: RESTARTS })}
          ${field({ name: "resources.gpus", label: "GPUs", inputmode: "numeric" })}
          ${field({ name: "activity.cpuPercent", label: "Used above (% of a core)", inputmode: "decimal" })}
          ${field({ name: "template.workingDirectory", label: "Working directory" })}
          ${drawSelect(problem, { name: "onLost", label: "When its box is lost", value: "", options: LOST })}
        </div></div>
      </details>
      <datalist id="schemes">${["http", "https", "rtsp", "rtmp", "ws"].map((word) => html`<option value=${word}></option>`)}</datalist>
    `,
  };
}
