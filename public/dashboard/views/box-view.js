import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { createBoxActions } from "../box-actions.js";
import { createBoxSessions } from "../box-sessions.js";
import { createChartGroup } from "../chart-group.js";
import { drawFacts, drawLabels, percentText } from "../facts.js";
import { celsius, kbitPerSecond, percent } from "../figure-text.js";
import { drawHistory } from "../history.js";
import { drawAgo } from "../time.js";
import { sayState } from "../tone.js";
import { createWorkloadList } from "../workload-list.js";
import { drawBoxStates } from "./boxes-view.js";

const CHARTS = [
  { title: "Processors", names: [{ name: "node.cpuPercent", label: "in use" }], format: percent, max: 100 },
  { title: "Memory", names: [{ name: "node.memoryPercent", label: "in use" }], format: percent, max: 100 },
  { title: "Disk", names: [{ name: "node.diskPercent", label: "in use" }], format: percent, max: 100 },
  {
    title: "Network",
    names: [
      { name: "node.sentKbit", label: "sent" },
      { name: "node.receivedKbit", label: "received" },
    ],
    format: kbitPerSecond,
  },
  { title: "Temperature", names: [{ name: "node.temperatureC", label: "hottest sensor" }], format: celsius },
];

/** One box: what it is, what it runs, how it fares, and what went wrong. */
export function createBoxView(context) {
  const { api, params, session, reload } = context;
  const path = pathOf("v1", "boxes", params.box);
  const charts = createChartGroup({ api, path: `${path}/telemetry`, charts: CHARTS, reload });
  const actions = createBoxActions(context, path);
  const list = createWorkloadList(context);
  const sessions = createBoxSessions(context, params.box);
  let box;
  let expected;
  let history;

  return {
    title: () => box?.name ?? params.box,
    load: async (signal) => {
      [box, expected, history] = await Promise.all([
        api.get(path, {}, signal),
        api.get(`${path}/workloads`, {}, signal),
        api.get(`${path}/history`, {}, signal),
      ]);
      await Promise.all([sessions.load(signal), charts.load(signal)]);
    },
    hears: (event) => event.box === params.box,
    announces: () => [
      ...(box === undefined ? [] : [[box.id, `${box.name} is ${box.connection}`]]),
      ["incidents", box?.incidents.map(({ kind, cause }) => `${kind}: ${cause}`).join(", ") || "No incident goes on"],
      ...(expected?.items ?? []).map((entry) => [`workload ${entry.workload.id}`, sayState(entry)]),
    ],
    close: charts.close,
    draw: () => {
      if (box === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const nowMs = api.nowMs();
      return html`
        <section class="card" aria-label="About this box">
          <div class="section-head">
            <div class="row-states">${drawBoxStates(box)}</div>
            <div class="actions wrap">
              ${box.lastContactAt === undefined ? nothing : html`<a class="button" href=${hashOf("boxes", box.id, "logs")}>Agent's log</a>`}
              ${
                session.may("operator") && box.remote?.includes("shell")
                  ? html`<a class="button" href=${hashOf("boxes", box.id, "terminal")}>Terminal</a>`
                  : nothing
              }
              ${
                session.may("operator") && box.state === "approved"
                  ? html`<a class="button" href=${`#/start-session?box=${encodeURIComponent(box.id)}`}>Start a session</a>
                <a class="button primary" href=${`#/start?box=${encodeURIComponent(box.id)}`}>Start a stream</a>`
                  : nothing
              }
            </div>
          </div>
          ${actions.drawStanding(box, nowMs)}
          ${drawFacts(factsOf(box, nowMs))}
          <div class="row-labels">${drawLabels(box.labels)}</div>
          ${actions.draw(box)}
        </section>
        ${drawIncidents(box, nowMs)}
        <section aria-labelledby="workloads-title">${list.draw(
          expected.items
            .filter(({ workload }) => workload.kind !== "session")
            .map((entry) => ({ ...entry, box: box.id })),
        )}</section>
        ${sessions.draw(box)}
        <section aria-label="Charts of the box">${charts.draw()}</section>
        ${drawHistory(history, nowMs)}
      `;
    },
  };
}

function factsOf(box, nowMs) {
  const applied = box.applied?.revision;
  const isBehind = applied !== box.expectedRevision;
  return [
    ["id", html`<code>${box.id}</code>`],
    ["last contact", drawAgo(box.lastContactAt, nowMs)],
    ["agent", box.agentVersion],
    ["last start", box.verdict],
    ["revision", isBehind ? `${applied ?? "none"} applied of ${box.expectedRevision}` : String(applied)],
    ["processors", percentText(box.node?.cpuPercent)],
    ["memory", percentText(box.node?.memoryPercent)],
    ["disk", percentText(box.node?.diskPercent)],
    ["temperature", box.node?.temperatureC === undefined ? undefined : celsius(box.node.temperatureC)],
    ["remote access", box.remote === undefined ? undefined : box.remote.join(", ") || "off"],
    ["enrolled", drawAgo(box.createdAt, nowMs)],
  ];
}

function drawIncidents({ incidents }, nowMs) {
  if (incidents.length === 0) return nothing;
  return html`<section class="card problem" aria-label="Incidents that go on">
    ${incidents.map(({ kind, cause, start }) => html`<p><b>${kind}</b>: ${cause}, since ${drawAgo(start, nowMs)}</p>`)}
  </section>`;
}
