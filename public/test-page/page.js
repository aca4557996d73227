import { byId, element, setText } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { createClientList } from "./client-list.js";
import { createCommandForm } from "./command-form.js";
import { createFaultPanel } from "./fault-panel.js";
import { openFeed } from "./feed.js";
import { createLogView } from "./log-view.js";
import { createSendForm } from "./send-form.js";
import { createStartForm } from "./start-form.js";
import { createStreamList } from "./stream-list.js";

const state = { server: undefined, streams: [], clients: [], reports: [], publishers: [] };
const startForm = createStartForm();
createSendForm();
const updateCommands = createCommandForm();
const log = createLogView();
const updateStreams = createStreamList();
const updateClients = createClientList();
const updateFaults = await createFaultPanel();

function render() {
  updateStreams(state);
  updateClients(state);
  const count = state.clients.length;
  const pill = byId("client-count");
  setText(pill, count === 0 ? "nobody connected" : `${count} connected`);
  pill.dataset.tone = count === 0 ? "warn" : "good";
}

function renderServer(server) {
  state.server = server;
  startForm.setRtmpUrl(server.rtmp);
  setText(byId("revision"), `epoch ${server.epoch} · revision ${server.revision}`);
  setText(byId("hint"), `SSE_ENDPOINT=${server.events} sluice agent`);
  const rows = [
    ["Events", server.events],
    ["Simple form", `${server.events}?form=simple`],
    ["Reports", server.reports],
    ...(server.rtmp === undefined ? [] : [["RTMP", `${server.rtmp}/<key>`]]),
    ["Beat", `every ${server.beatSeconds} s`],
  ];
  byId("addresses").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", {}, name), createValue(value)]));
}

function createValue(value) {
  const copy = element("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${value}` }, "copy");
  copy.addEventListener("click", () =>
    navigator.clipboard.writeText(value).then(
      () => showNotice("Copied"),
      () => showNotice("The browser does not allow copying", "error"),
    ),
  );
  return element("dd", {}, element("code", {}, value), ...(value.includes("://") ? [copy] : []));
}

const part = (name) => (value) => {
  state[name] = value;
  render();
};
openFeed(
  {
    server: renderServer,
    streams: part("streams"),
    clients: part("clients"),
    reports: part("reports"),
    publishers: part("publishers"),
    faults: updateFaults,
    commands: updateCommands,
    log: log.replace,
    line: log.add,
  },
  (connection) => {
    const pill = byId("page-state");
    setText(pill, connection === "live" ? "page live" : "page disconnected, retrying");
    pill.dataset.tone = connection === "live" ? "good" : "bad";
    document.body.classList.toggle("stale", connection !== "live");
  },
);
// Ages are shown in seconds and move by themselves.
setInterval(render, 1000);
