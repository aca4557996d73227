import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { bytesText, countText, secondsText } from "../../shared/quantity.js";
import { hashOf } from "../address.js";
import { pathOf } from "../api.js";
import { createChartGroup } from "../chart-group.js";
import { drawFacts } from "../facts.js";
import { bytes, kbitPerSecond, percent, plain, times } from "../figure-text.js";
import { createFramedPicture } from "../framed-picture.js";
import { drawTable } from "../history.js";
import { drawAgo, drawTime, spanText } from "../time.js";
import { drawState, isUnwell, sayState, stateOf } from "../tone.js";
import { placeText, stateText } from "../transfer-text.js";
import { drawWorkloadActions } from "../workload-actions.js";
import { routeOf, segmentsText } from "../workload-row.js";

const WITH_PICTURE = ["running", "degraded", "stalled"];

/** One workload of one box: its state and cause, its picture, its counters and charts. */
export function createWorkloadView(context) {
  const { api, params, reload } = context;
  const { box, id } = params;
  const path = pathOf("v1", "boxes", box, "workloads", id);
  const charts = createChartGroup({
    api,
    path: pathOf("v1", "boxes", box, "telemetry"),
    reload,
    charts: [
      { title: "Frames a second", names: [{ name: `${id}/fps`, label: "fps" }], format: plain },
      { title: "Bitrate", names: [{ name: `${id}/bitrateKbit`, label: "bitrate" }], format: kbitPerSecond },
      { title: "Speed", names: [{ name: `${id}/speed`, label: "media seconds a second" }], format: times },
      { title: "Processor", names: [{ name: `${id}/cpuPercent`, label: "of one processor" }], format: percent },
      { title: "Memory", names: [{ name: `${id}/rssBytes`, label: "resident" }], format: bytes },
    ],
  });
  const picture = createFramedPicture(params);
  let entry;
  let isGone = false;
  let moves;

  /** Of the files that its rule moves: what the hub still shows, the latest first. */
  const loadMoves = async (signal) => {
    const moving = entry?.workload.spec?.outputs?.some(({ move }) => move !== undefined);
    if (isGone || moving !== true) {
      moves = undefined;
      return;
    }
    const prefix = `rec-${id}-`;
    const transfers = await api.get("/sync", { after: prefix, limit: 200 }, signal);
    moves = transfers
      .filter(({ request_id, source_box }) => isOfStream(request_id, prefix) && source_box === box)
      .toSorted((one, other) => other.updated_at.localeCompare(one.updated_at));
  };

  return {
    title: () => entry?.workload.name ?? id,
    load: async (signal) => {
      try {
        entry = { ...(await api.get(path, {}, signal)), box };
        isGone = false;
      } catch (error) {
        if (error.status !== 404) throw error;
        isGone = true;
      }
      const { pictureUrl } = entry?.workload ?? {};
      const isOn = !isGone && WITH_PICTURE.includes(entry?.status?.state);
      picture.update(
        pictureUrl === undefined ? undefined : { url: pictureUrl, isOn, connects: entry.status?.generation },
      );
      await loadMoves(signal);
      await charts.load(signal);
    },
    hears: (event) => event.box === box,
    announces: () => (entry === undefined ? [] : [[id, isGone ? `${id} is not expected any more` : sayState(entry)]]),
    close: charts.close,
    draw: () => {
      if (isGone) return drawGone(box, id);
      if (entry === undefined) return html`<p class="empty">Asking the hub…</p>`;
      const { status, workload } = entry;
      const nowMs = api.nowMs();
      return html`
        <div class=${workload.pictureUrl === undefined ? "" : "with-picture"}>
          ${workload.pictureUrl === undefined ? nothing : html`<section class="card stream" aria-label="Live picture">${picture.node}</section>`}
          <section class="card" aria-label="State" data-workload=${id} data-state=${stateOf(entry)}>
            <div class="section-head">
              <div class="row-states">${drawState(stateOf(entry))}${
                entry.owner === undefined ? nothing : html`<span class="state">${entry.owner}</span>`
              }</div>
              <div class="actions wrap">
                <a class="button" href=${`${hashOf("boxes", box, "logs")}?workload=${encodeURIComponent(id)}`}>Log</a>
                ${drawWorkloadActions(entry, context, () => {
                  location.hash = hashOf("boxes", box);
                })}
              </div>
            </div>
            ${status?.cause === undefined ? nothing : html`<p class="cause" data-cause data-tone=${isUnwell(entry) ? "bad" : "neutral"}>${status.cause}</p>`}
            ${status?.update === undefined ? nothing : html`<p class="cause" data-tone="warn">${status.update.message}</p>`}
            ${drawSegmentError(status?.segments, nowMs)}
            <p class="route">${routeOf(entry)}</p>
            ${drawFacts(factsOf(entry, nowMs))}
          </section>
        </div>
        <section aria-label="Charts of the workload">${charts.draw()}</section>
        ${moves === undefined ? nothing : drawMoves(moves, nowMs)}
        ${status?.proof === undefined ? nothing : drawGaps(status.proof, nowMs)}
      `;
    },
  };
}

function drawGone(box, id) {
  return html`<p class="card empty">${id} is not expected of <a href=${hashOf("boxes", box)}>${box}</a>.</p>`;
}

function factsOf({ box, status, workload }, nowMs) {
  const media = status?.media;
  return [
    ["box", html`<a href=${hashOf("boxes", box)}>${box}</a>`],
    ["id", html`<code>${workload.id}</code>`],
    ["since", status === undefined ? undefined : drawAgo(status.since, nowMs)],
    ["pid", status?.pid === undefined ? undefined : String(status.pid)],
    ["restarts", status === undefined ? undefined : String(status.restarts)],
    [
      "next start",
      status?.nextStartInSeconds === undefined ? undefined : `in ${secondsText(status.nextStartInSeconds)}`,
    ],
    ["last exit", status?.lastExit === undefined ? undefined : exitText(status.lastExit)],
    ["fps", media?.fps === undefined ? undefined : plain(media.fps)],
    ["bitrate", media?.bitrateKbit === undefined ? undefined : kbitPerSecond(media.bitrateKbit)],
    ["speed", media?.speed === undefined ? undefined : times(media.speed)],
    ["frames", media?.frames === undefined ? undefined : String(media.frames)],
    ["dropped", media?.droppedFrames === undefined ? undefined : String(media.droppedFrames)],
    ["sent", media?.totalBytes === undefined ? undefined : bytesText(media.totalBytes)],
    ["processor", status?.cpuPercent === undefined ? undefined : percent(status.cpuPercent)],
    ["memory", status?.rssBytes === undefined ? undefined : bytes(status.rssBytes)],
    ["recordings", status?.segments === undefined ? undefined : segmentsText(status.segments)],
    [
      "media proved",
      status?.proof === undefined ? undefined : `${status.proof.percent} %, ${countText(status.proof.gapCount, "gap")}`,
    ],
  ];
}

function exitText({ code, signal, class: kind, evidence }) {
  return [signal === null ? `code ${code}` : signal, kind, evidence].filter(Boolean).join(", ");
}

/** `rec-cam-1-` and 16 digits: of `cam-1-b` they are not. */
function isOfStream(id, prefix) {
  return id.startsWith(prefix) && id.length === prefix.length + 16;
}

/** A file that failed is wrong now; an error that is over is told, and no more. */
function drawSegmentError(segments, nowMs) {
  if (segments?.lastError === undefined) return nothing;
  const { at, message } = segments.lastError;
  const tone = segments.failed > 0 ? "bad" : segments.waiting > 0 ? "warn" : "neutral";
  return html`<p class="cause" data-tone=${tone} data-segment-error>Recordings that stayed here, ${drawAgo(at, nowMs)}: ${message}</p>`;
}

function drawMoves(moves, nowMs) {
  return drawTable({
    title: "Recordings that move",
    none: "No file is finished yet.",
    heads: ["transfer", "state", "file", "to", "changed"],
    rows: moves.map((transfer) => [
      html`<a href=${hashOf("transfers", transfer.request_id)}>${transfer.request_id}</a>`,
      transfer.state === "COMPLETED" ? stateText(transfer) : `${stateText(transfer)}: ${transfer.reason}`,
      transfer.source_path,
      placeText(transfer.destination_box, transfer.destination_path),
      drawAgo(transfer.updated_at, nowMs),
    ]),
  });
}

function drawGaps({ gaps }, nowMs) {
  return drawTable({
    title: "Gaps in media",
    none: "None so far.",
    heads: ["when", "why", "how long"],
    rows: gaps.toReversed().map((gap) => [drawTime(gap.start), gap.cause, spanText(gap, nowMs)]),
  });
}
