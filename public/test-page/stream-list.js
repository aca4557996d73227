import { byId, createKeyedList, element, setText } from "../shared/element.js";
import { createPicture } from "../shared/picture.js";
import { ageSeconds, bytesText, secondsText } from "../shared/quantity.js";
import { call } from "./api.js";
import { pictureSourceOf } from "./picture-source.js";
import { headlineOf, joinStreams } from "./stream-model.js";

/** The cards of all streams. `update` gets the page's whole state. */
export function createStreamList() {
  const render = createKeyedList(
    byId("streams"),
    ({ entry }) => entry.id,
    ({ entry }) => createCard(entry.id),
  );
  byId("stop-all").addEventListener("click", () => call("PUT", "streams", { workloads: [], confirm: true }));
  return (state) => {
    const entries = joinStreams(state);
    render(entries.map((entry) => ({ entry, state })));
    byId("no-streams").hidden = entries.length > 0;
    byId("stop-all").hidden = state.streams.length < 2;
  };
}

function createCard(id) {
  const picture = createPicture();
  const tone = element("span", { class: "state" });
  const title = element("h3", {}, id);
  const route = element("p", { class: "route" });
  const cause = element("p", { class: "cause" });
  const facts = element("dl", { class: "facts" });
  const stop = element("button", { type: "button", "data-action": "stop", "aria-label": `Stop ${id}` }, "Stop");
  const head = element("div", { class: "card-head" }, title, tone);
  const body = element(
    "div",
    { class: "card-body" },
    head,
    route,
    cause,
    facts,
    element("div", { class: "actions" }, stop),
  );
  const node = element("article", { class: "card stream", "data-stream": id }, picture.node, body);
  const renderFacts = createKeyedList(
    facts,
    ([name]) => name,
    ([name]) => {
      const value = element("dd");
      const pair = element("div", {}, element("dt", {}, name), value);
      return { node: pair, update: ([, text]) => setText(value, text) };
    },
  );
  let current;
  stop.addEventListener("click", () => {
    if (current?.expected !== undefined) return call("DELETE", `streams/${encodeURIComponent(id)}`);
    if (current?.boxes.length > 0) return call("POST", "send-event", { eventType: "stop", id });
    const path = current.pictureKey.split("/").map(encodeURIComponent).join("/");
    return call("DELETE", `publishers/${path}`);
  });

  return {
    node,
    update: ({ entry, state }) => {
      current = entry;
      const headline = headlineOf(entry, state.clients.length);
      setText(tone, headline.text);
      tone.dataset.tone = headline.tone;
      node.dataset.state = headline.text;
      const status = entry.boxes[0]?.status;
      setText(route, routeOf(entry));
      setText(cause, [status?.cause, originOf(entry)].filter(Boolean).join(" · "));
      renderFacts(factsOf(entry, state));
      setText(stop, entry.expected === undefined && entry.boxes.length === 0 ? "Cut" : "Stop");
      picture.update(
        pictureSourceOf(entry.pictureKey, entry.publisher),
        entry.pictureKey === undefined ? "Its output does not come here" : "No picture yet",
      );
    },
    remove: picture.remove,
  };
}

function routeOf({ expected, boxes, publisher }) {
  if (expected !== undefined) return `${expected.input} → ${expected.outputs.join(", ")}`;
  return boxes[0]?.status.description ?? `somebody → rtmp …/${publisher.app}/${publisher.key}`;
}

/** Said where a stream is not simply expected and reported. */
function originOf({ expected, boxes }) {
  if (expected === undefined && boxes.length > 0) return "not in the expected set";
  if (expected === undefined) return "published by somebody who reports nothing";
  if (boxes.length > 1) return `on ${boxes.map(({ box, status }) => `${box}: ${status.state}`).join(", ")}`;
  return "";
}

function factsOf({ boxes, publisher }, state) {
  const facts = [];
  const [first] = boxes;
  if (first !== undefined) {
    const { status, box } = first;
    facts.push(["box", box]);
    if (status.pid !== undefined) facts.push(["pid", String(status.pid)]);
    facts.push(["restarts", String(status.restarts)]);
    facts.push(["since", secondsText(ageSeconds(status.since))]);
    if (status.nextStartInSeconds !== undefined)
      facts.push(["next start", `in ${secondsText(status.nextStartInSeconds)}`]);
    if (status.lastExit !== undefined) facts.push(["last exit", exitText(status.lastExit)]);
    const { receivedAt } = state.reports.find(({ report }) => report.boxId === box);
    facts.push(["report", `${secondsText(ageSeconds(receivedAt))} ago`]);
  }
  const fps = publisher?.publishing ? publisher.fps : first?.status.media?.fps;
  const bitrate = publisher?.publishing ? publisher.bitrateKbit : first?.status.media?.bitrateKbit;
  if (fps !== undefined) facts.push(["fps", String(Math.round(fps * 10) / 10)]);
  if (bitrate !== undefined) facts.push(["bitrate", `${Math.round(bitrate)} kbit/s`]);
  if (publisher !== undefined) {
    if (publisher.video?.width) facts.push(["picture", `${publisher.video.width}×${publisher.video.height}`]);
    facts.push(["received", bytesText(publisher.mediaBytes)], ["RTMP connects", String(publisher.connects)]);
  }
  return facts;
}

function exitText({ code, signal, class: kind, evidence }) {
  const how = signal === null ? `code ${code}` : signal;
  return [how, kind, evidence].filter(Boolean).join(", ");
}
