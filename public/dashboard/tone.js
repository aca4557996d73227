import { html } from "/vendor/lit-html/lit-html.js";

/** How a word is coloured. The word itself is always there: colour says nothing alone. */
const TONES = {
  online: "good",
  degraded: "warn",
  offline: "bad",
  "never heard": "warn",
  pending: "warn",
  revoked: "bad",
  running: "good",
  starting: "busy",
  stopping: "busy",
  waiting: "warn",
  open: "good",
  broken: "warn",
  stalled: "bad",
  refused: "bad",
  unkillable: "bad",
  unplaced: "bad",
  failing: "bad",
  lost: "bad",
  hibernating: "busy",
  waking: "busy",
  requested: "busy",
  preparing: "busy",
  prepared: "busy",
  linked: "busy",
  up: "good",
  down: "bad",
  firing: "bad",
  clearing: "warn",
  done: "good",
  queued: "warn",
  completed: "good",
  cancelled: "busy",
  sent: "good",
  failed: "bad",
  "given-up": "bad",
};

/** A session that sleeps by itself, or has done its work, is as it should be. */
const WELL = ["running", "starting", "hibernated", "ended"];

export function drawState(word) {
  return html`<span class="state" data-tone=${TONES[word] ?? "neutral"}>${word}</span>`;
}

/** The word for an entry of the expected set: what its box says of it, or why nobody says anything. */
export function stateOf({ desired, status }) {
  if (status !== undefined && !(desired === "hibernated" && status.state === "waiting")) return status.state;
  return desired === "hibernated" ? "hibernated" : "not reported";
}

export function isUnwell({ desired, status }) {
  return desired === "running" && (status === undefined || !WELL.includes(status.state));
}

/** A workload's state, as it is said aloud when it changes. */
export function sayState(entry) {
  const { workload, status } = entry;
  const why = isUnwell(entry) && status?.cause !== undefined ? `: ${status.cause}` : "";
  return `${workload.name ?? workload.id} is ${stateOf(entry)}${why}`;
}
