import { html } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { createLogLines } from "../log-lines.js";
import { readEvents } from "../read-events.js";
import { createResume } from "../resume-log.js";

const RETRY_MS = 2000;
const OUTPUTS = [
  ["", "both"],
  ["stdout", "stdout"],
  ["stderr", "stderr"],
];

/** A log of a box, as it is written. The box sends it only while somebody reads it. */
export function createLogsView({ api, params, query, signal, redraw }) {
  const lines = createLogLines();
  const path = pathOf("v1", "boxes", params.box, "logs");
  let source = query.get("workload") ?? "";
  let tail = "200";
  /** Of a session; empty: both. */
  let output = "";
  let workloads = [];
  let sessions = [];
  let state = "connecting";
  let reading = new AbortController();

  const follow = async () => {
    reading.abort();
    const mine = new AbortController();
    reading = mine;
    const both = AbortSignal.any([signal, mine.signal]);
    lines.clear();
    const resume = createResume();
    let isFirst = true;
    while (!both.aborted) {
      try {
        say("connecting");
        const response = await api.open(path, {
          query: { workload: source, output, follow: "true", ...resume.query(tail, isFirst) },
          signal: both,
        });
        say("following");
        for await (const { name, data } of readEvents(response.body)) {
          for (const record of resume.take({ type: name, ...JSON.parse(data) })) lines.add(record);
        }
      } catch (error) {
        if (both.aborted) return;
        lines.add({ type: "gap", reason: error.message });
      }
      if (both.aborted) return;
      isFirst = false;
      say("interrupted, retrying");
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  };
  const say = (text) => {
    state = text;
    redraw();
  };
  void follow();

  return {
    title: () => `Log of ${source === "" ? "the agent" : source} on ${params.box}`,
    load: async (loading) => {
      const { items } = await api.get(pathOf("v1", "boxes", params.box, "workloads"), {}, loading);
      workloads = items.map(({ workload }) => workload.id);
      sessions = items.filter(({ workload }) => workload.kind === "session").map(({ workload }) => workload.id);
      if (source !== "" && !workloads.includes(source)) workloads.push(source);
    },
    hears: ({ kind, box }) => box === params.box && kind.startsWith("expected."),
    refreshMs: 30_000,
    close: () => reading.abort(),
    draw: () => html`
      <section class="card" aria-label="Log">
        <div class="filters">
          <label class="field narrow">Log of
            <select name="source" @change=${(event) => {
              source = event.target.value;
              if (!sessions.includes(source)) output = "";
              void follow();
            }}>
              <option value="" ?selected=${source === ""}>the agent</option>
              ${workloads.map((id) => html`<option value=${id} ?selected=${id === source}>${id}</option>`)}
            </select></label>
          ${
            sessions.includes(source)
              ? html`<label class="field narrow">Output
                <select name="output" @change=${(event) => {
                  output = event.target.value;
                  void follow();
                }}>
                  ${OUTPUTS.map(([value, text]) => html`<option value=${value} ?selected=${value === output}>${text}</option>`)}
                </select></label>`
              : ""
          }
          <label class="field narrow">From the end
            <select @change=${(event) => {
              tail = event.target.value;
              void follow();
            }}>
              ${["50", "200", "1000", "5000"].map((count) => html`<option value=${count} ?selected=${count === tail}>${count} lines</option>`)}
            </select></label>
          <label class="field">Only lines with
            <input type="search" spellcheck="false" @input=${(event) => lines.filter(event.target.value)}></label>
          <button type="button" aria-pressed="false" @click=${(event) => {
            const isHeld = lines.togglePause();
            event.currentTarget.setAttribute("aria-pressed", String(isHeld));
            event.currentTarget.textContent = isHeld ? "Go on" : "Pause";
          }}>Pause</button>
        </div>
        <p class="soft" role="status">${state} · <a href=${hashOf("boxes", params.box)}>back to ${params.box}</a></p>
        ${lines.node}
      </section>
    `,
  };
}
