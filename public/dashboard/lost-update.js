import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { differencesOf } from "./stream-form.js";
import { drawAgo } from "./time.js";

const SHOWN = 12;

/**
 * After a write was refused because the box's set had moved on: what somebody else did to this workload since it was read, or
 * `undefined` when only others of the box were changed. A change of a secret alone does not show in the masked form: the
 * events tell of it.
 *
 * @param {{api: object, path: string, seen: {entry: object, cursor: string}, place: {box: string, id: string},
 *   currentRevision: number}} given
 */
export async function findLostUpdate({ api, path, seen, place, currentRevision }) {
  // Events first: what comes after them is in the newer form, and is found again by the next look.
  const page = await api.get("/v1/events", { after: seen.cursor, limit: 1000 });
  const newer = await api.get(path).catch((error) => {
    if (error.status !== 404) throw error;
    return undefined;
  });
  const concerning = page.items.filter((event) => concerns(event, place));
  const differences = newer === undefined ? [] : differencesOf(seen.entry.workload, newer.workload);
  const isSame = newer !== undefined && differences.length === 0 && newer.owner === seen.entry.owner;
  if (isSame && concerning.length === 0 && page.gone === undefined) return undefined;
  const last = concerning.at(-1);
  return {
    newer,
    differences,
    revision: newer?.revision ?? currentRevision,
    cursor: page.next,
    by: last?.data?.by,
    at: last?.at,
  };
}

/** One workload was changed, or a person replaced the whole set. */
function concerns({ kind, box, workload, data }, place) {
  if (kind !== "expected.changed" || box !== place.box) return false;
  return workload === place.id || (workload === undefined && data?.by !== undefined);
}

/** Says who was quicker and with what, and lets a person choose. */
export function drawLostUpdate({ newer, differences, by, at }, { nowMs, keepMine, takeTheirs }) {
  const who = by ?? "Somebody else";
  const did = newer === undefined ? "stopped it" : "changed it";
  return html`<div class="card problem stack" role="alert" data-lost-update>
    <p><b>${who} was quicker</b> and ${did}${at === undefined ? "" : html` ${drawAgo(at, nowMs)}`}. Nothing of yours is written yet.</p>
    ${
      newer !== undefined && differences.length === 0
        ? html`<p class="soft">What is shown of it is the same: a secret may be another one.</p>`
        : nothing
    }
    ${
      differences.length === 0
        ? nothing
        : html`<div class="scroll" tabindex="0" role="group" aria-label="What is different"><table>
          <thead><tr><th scope="col">setting</th><th scope="col">as you opened it</th><th scope="col">now</th></tr></thead>
          <tbody>${differences
            .slice(0, SHOWN)
            .map(
              ({ path, before, after }) =>
                html`<tr><td><code>${path}</code></td><td>${before ?? "—"}</td><td>${after ?? "—"}</td></tr>`,
            )}</tbody></table></div>`
    }
    ${differences.length > SHOWN ? html`<p class="hint">and ${differences.length - SHOWN} more</p>` : nothing}
    <div class="actions wrap">
      ${newer === undefined ? nothing : html`<button type="button" class="primary" @click=${takeTheirs}>Show the newer one</button>`}
      <button type="button" @click=${keepMine}>${newer === undefined ? "Start it again like this" : "Save mine over it"}</button>
    </div>
  </div>`;
}
