import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { countText, secondsText } from "../../shared/quantity.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { createChartGroup } from "../chart-group.js";
import { drawFacts } from "../facts.js";
import { bytes, percent } from "../figure-text.js";
import { drawTable } from "../history.js";
import { drawSessionActions } from "../session-actions.js";
import { drawEndpoint } from "../session-row.js";
import {
  connectionsText,
  cpuText,
  exitText,
  idleText,
  isOnLoopback,
  memoryText,
  portText,
  programText,
  reasonTone,
  sayState,
  sleepText,
  usedText,
  volumeText,
  wakesText,
} from "../session-text.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";

/** Of a container's id: as many as its engine shows. */
const INSTANCE_LETTERS = 12;

/** One session: its state and why, where it is reached, when it sleeps, what it uses, and why it is where it is. */
export function createSessionView(context) {
  const { api, params, reload } = context;
  const { id } = params;
  const path = pathOf("v1", "sessions", id);
  let view;
  let isGone = false;
  /** Of the box that it is on: another one has other figures. */
  let charts;

  const chartsOf = (box) => {
    if (charts?.box === box) return charts.group;
    charts?.group.close();
    const group = createChartGroup({
      api,
      path: pathOf("v1", "boxes", box, "telemetry"),
      reload,
      charts: [
        { title: "Processor", names: [{ name: `${id}/cpuPercent`, label: "of one processor" }], format: percent },
        { title: "Memory", names: [{ name: `${id}/rssBytes`, label: "resident" }], format: bytes },
      ],
    });
    charts = { box, group };
    return group;
  };

  return {
    title: () => view?.name ?? id,
    load: async (signal) => {
      try {
        view = await api.get(path, {}, signal);
        isGone = false;
      } catch (error) {
        if (error.status !== 404) throw error;
        isGone = true;
      }
      if (!isGone && view.box !== undefined) await chartsOf(view.box).load(signal);
    },
    hears: ({ kind, box }) => kind.startsWith("session") || (box !== undefined && box === view?.box),
    announces: () => (view === undefined ? [] : [[id, isGone ? `Session ${id} is stopped` : sayState(view)]]),
    close: () => charts?.group.close(),
    draw: () => {
      if (isGone)
        return html`<p class="card empty">There is no session ${id} any more. <a href="#/sessions">All sessions</a></p>`;
      if (view === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const nowMs = api.nowMs();
      const { box, state, reason, session, placement, wish } = view;
      return html`
        <section class="card" aria-label="State" data-session=${id} data-state=${state}>
          <div class="section-head">
            <div class="row-states">${drawState(state)}${session?.sleep === undefined ? nothing : html`<span class="state">${session.sleep.depth}</span>`}</div>
            <div class="actions wrap">
              ${box === undefined ? nothing : html`<a class="button" href=${`${hashOf("boxes", box, "logs")}?workload=${encodeURIComponent(id)}`}>Log</a>`}
              ${drawSessionActions(view, context, () => {
                location.hash = "#/sessions";
              })}
            </div>
          </div>
          ${reason === undefined ? nothing : html`<p class="cause" data-cause data-tone=${reasonTone(view)}>${reason}</p>`}
          <p class="route">${programText(wish)}</p>
          ${drawFacts(factsOf(view, nowMs))}
        </section>
        ${drawTable({
          title: "Endpoints",
          none: (wish.template.ports ?? []).length === 0 ? "It declares no ports." : "Nothing is open now.",
          heads: ["name", "address", "port of the application"],
          rows: (session?.endpoints ?? []).map((endpoint) => [
            endpoint.name,
            html`${drawEndpoint(endpoint)}${isOnLoopback(endpoint) ? html` <span class="soft">on the box itself only</span>` : nothing}`,
            `${endpoint.port}/${endpoint.protocol}`,
          ]),
        })}
        ${charts === undefined ? nothing : html`<section aria-label="Charts of the session">${charts.group.draw()}</section>`}
        <div class="columns">
          ${drawWish(wish)}
          ${
            placement === undefined
              ? nothing
              : drawTable({
                  title: "Boxes that were not taken",
                  none:
                    wish.box === undefined ? "Every other box would have done." : `${wish.box} was asked for by name.`,
                  heads: ["box", "why not"],
                  rows: placement.passedOver.map((each) => [
                    html`<a href=${hashOf("boxes", each.box)}>${each.box}</a>`,
                    each.reason,
                  ]),
                  shown: 100,
                })
          }
        </div>
      `;
    },
  };
}

function factsOf(view, nowMs) {
  const { id, box, user, since, placement, session, workload, createdAt } = view;
  return [
    ["id", html`<code>${id}</code>`],
    ["box", box === undefined ? "none yet" : html`<a href=${hashOf("boxes", box)}>${box}</a>`],
    ["placed", placement === undefined ? undefined : placement.reason],
    ["user", user],
    ["since", drawAgo(since, nowMs)],
    ["platform", session?.platform],
    [
      "instance",
      session?.instance === undefined ? undefined : html`<code>${session.instance.slice(0, INSTANCE_LETTERS)}</code>`,
    ],
    ["sleeps", sleepText(view, nowMs)],
    ["idle", idleText(view, nowMs)],
    ["last used", usedText(view, nowMs)],
    ["wakes take", wakesText(view)],
    ["processor", cpuText(view)],
    ["memory", memoryText(view)],
    ["open", connectionsText(view)],
    ["restarts", workload === undefined ? undefined : countText(workload.restarts, "restart")],
    [
      "next start",
      workload?.nextStartInSeconds === undefined ? undefined : `in ${secondsText(workload.nextStartInSeconds)}`,
    ],
    ["last exit", workload?.lastExit === undefined ? undefined : exitText(workload.lastExit)],
    ["ends", session?.endsAt === undefined ? undefined : drawTime(session.endsAt)],
    ["ended", session?.ended === undefined ? undefined : `${session.ended.reason}`],
    ["asked for", drawTime(createdAt)],
  ];
}

/** What was asked for. Secrets come masked from the hub. */
function drawWish(wish) {
  const { template, volumes = [], resources = {} } = wish;
  return html`<section class="card" aria-label="What was asked for">
    <h2>What was asked for</h2>
    ${drawFacts([
      ["boxes", wish.box ?? (wish.select === undefined ? "any that can take it" : `those with ${wish.select}`)],
      ["platform", wish.platform ?? "what the box has"],
      ["processors", resources.cpu],
      ["memory", resources.memory],
      ["GPUs", resources.gpus === undefined ? undefined : String(resources.gpus)],
      ["working directory", template.workingDirectory],
      ["restart", wish.restart ?? "always"],
      ["hibernation", wish.hibernation ?? "stopped"],
      ["at most", wish.maxDuration],
      ["lost box", wish.onLost],
      ...(template.ports ?? []).map((port) => [`port ${port.name ?? port.port}`, portText(port)]),
      ...volumes.map((volume) => [`volume ${volume.name}`, volumeText(volume)]),
      ...Object.entries(template.env ?? {}).map(([name, value]) => [name, html`<code>${value}</code>`]),
    ])}
  </section>`;
}
