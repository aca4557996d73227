import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { bytesText } from "../../shared/quantity.js";
import { pathOf } from "../api.js";
import { drawFacts } from "../facts.js";
import { drawTable } from "../history.js";
import { drawProgress } from "../progress-bar.js";
import { drawAgo, drawTime } from "../time.js";
import { drawState } from "../tone.js";
import { drawTransferActions } from "../transfer-actions.js";
import {
  amountText,
  comparisonText,
  countedTitle,
  filesText,
  isMoving,
  isOver,
  leftText,
  rateText,
  saidBy,
  shareOf,
  stateText,
  waysText,
  wayText,
} from "../transfer-text.js";
import { drawTransferRoute, sayTransfer } from "./transfers-view.js";

/** One transfer: how far it is and why, who works on it, and what could not be done. */
export function createTransferView(context) {
  const { api, params } = context;
  let transfer;
  let isGone = false;

  return {
    title: () => params.id,
    refreshMs: 1000,
    load: async (signal) => {
      if (isGone) return;
      try {
        transfer = await api.get(pathOf("sync", params.id), {}, signal);
      } catch (error) {
        if (error.status !== 404) throw error;
        isGone = true;
      }
    },
    hears: ({ kind }) => kind.startsWith("transfer"),
    announces: () =>
      transfer === undefined
        ? []
        : [[params.id, isGone ? `Transfer ${params.id} is not kept any more` : sayTransfer(transfer)]],
    draw: () => {
      if (isGone)
        return html`<p class="card empty">There is no transfer ${params.id}: it was cancelled or forgotten. <a href="#/transfers">All transfers</a></p>`;
      if (transfer === undefined) return html`<p class="empty">Asking the hub…</p>`;
      return drawTransfer(transfer, context);
    },
  };
}

function drawTransfer(transfer, context) {
  const { request_id: id, state, reason, failures, failures_total, workers, ways_given_up: givenUp = [] } = transfer;
  const nowMs = context.api.nowMs();
  const said = saidBy(transfer);
  return html`
    <section class="card" aria-label="State" data-transfer=${id} data-state=${state}>
      <div class="section-head">
        <div class="row-states">${drawState(stateText(transfer))}</div>
        ${drawTransferActions(transfer, context, () => {
          location.hash = "#/transfers";
        })}
      </div>
      ${drawTransferRoute(transfer)}
      ${state === "COMPLETED" ? nothing : html`<p class="cause" data-tone=${state === "FAILED" ? "bad" : "neutral"}>${reason}</p>`}
      ${isMoving(transfer) ? drawProgress({ label: `Progress of ${id}`, share: shareOf(transfer), text: amountText(transfer) }) : nothing}
      ${drawFacts([
        ["bytes", amountText(transfer)],
        ["files", filesText(transfer)],
        ["rate", rateText(transfer)],
        ["time", leftText(transfer)],
        ["way", waysText(transfer)],
        ["priority", transfer.priority],
        ["begun", transfer.started_at === undefined ? "not yet" : drawTime(transfer.started_at)],
        ["changed", drawAgo(transfer.updated_at, nowMs)],
        [
          "does",
          transfer.mode === "verify" ? "compares, and writes nothing; bytes and files are of both sides" : undefined,
        ],
        ["root hash", transfer.root_hash === undefined ? undefined : html`<code>${transfer.root_hash}</code>`],
      ])}
      ${
        transfer.receipt === undefined
          ? nothing
          : html`<details><summary>Receipt, signed by the hub</summary><p><code>${transfer.receipt}</code></p></details>`
      }
    </section>
    ${transfer.comparison === undefined ? nothing : drawComparison(transfer.comparison)}
    ${
      isOver(transfer) && workers.length === 0
        ? nothing
        : drawTable({
            title: "Workers",
            none: "Nobody works on it now.",
            heads: ["worker", "does", "so far", "rate", "way"],
            rows: workers.map((worker) => [
              worker.worker_id,
              worker.work,
              bytesText(worker.bytes),
              rateText(worker) ?? "",
              wayText(worker.way),
            ]),
          })
    }
    ${
      givenUp.length === 0
        ? nothing
        : drawTable({
            title: "Ways that did not lead there, tried again later",
            none: "",
            heads: ["to", "way", "why", "when"],
            rows: givenUp.map(({ worker_id, way, reason: why, at }) => [
              worker_id,
              wayText(way),
              why,
              drawAgo(at, nowMs),
            ]),
          })
    }
    ${drawTable({
      // One that is whole all the same has left out what is no file.
      title: countedTitle(state === "COMPLETED" ? "Left out" : "Failures", failures.length, failures_total),
      none: "None.",
      heads: ["path", "why", "message"],
      rows: failures.map(({ path, code, message }) => [html`<code>${path === "" ? "." : path}</code>`, code, message]),
      shown: 100,
      rest: "more",
    })}
    ${
      said.length === 0
        ? nothing
        : drawTable({
            title: "What was said last",
            none: "",
            heads: ["who", "what"],
            rows: said,
            shown: 50,
            rest: "more",
          })
    }
  `;
}

function drawComparison(comparison) {
  const { differences = [], differing, only_in_source, only_in_destination } = comparison;
  const { source_root_hash, destination_root_hash } = comparison;
  return html`
    <section class="card" aria-label="Comparison">
      <p>${comparisonText(comparison)}</p>
      ${drawFacts([
        ["root hash of the source", html`<code>${source_root_hash}</code>`],
        ["root hash of the destination", html`<code>${destination_root_hash}</code>`],
      ])}
    </section>
    ${drawTable({
      title: countedTitle("Differences", differences.length, differing + only_in_source + only_in_destination),
      none: "None.",
      heads: ["path", "in what", "source, destination"],
      rows: differences.map(({ path, differs, message }) => [
        html`<code>${path === "" ? "." : path}</code>`,
        differs.join(", ").replaceAll("-", " "),
        message,
      ]),
      shown: 100,
      rest: "more",
    })}
  `;
}
