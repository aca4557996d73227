import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { drawTime } from "../time.js";

const KEEP = 1000;
const FIRST = 300;

/** What happens in the fleet, newest first, as it happens. */
export function createEventsView({ api, redraw }) {
  let items = [];
  let cursor;
  let wanted = "";
  let isRead = false;

  return {
    title: "Events",
    load: async (signal) => {
      for (;;) {
        if (cursor === undefined) {
          const now = await api.get("/v1/events", { limit: 1 }, signal);
          cursor = stepBack(now.next, FIRST);
        }
        const page = await api.get("/v1/events", { limit: 500, after: cursor }, signal);
        items = [...page.items.toReversed(), ...items].slice(0, KEEP);
        cursor = page.next;
        if (page.items.length === 0 && page.gone === undefined) break;
      }
      isRead = true;
    },
    hears: () => true,
    draw: () => {
      const shown = items.filter(({ kind, text, box = "" }) => `${kind} ${text} ${box}`.toLowerCase().includes(wanted));
      return html`
        <form class="card filters" role="search" aria-label="Events" @submit=${(event) => event.preventDefault()}>
          <label class="field">Only events with
            <input type="search" spellcheck="false" @input=${(event) => {
              wanted = event.target.value.trim().toLowerCase();
              redraw();
            }}></label>
        </form>
        ${isRead && shown.length === 0 ? html`<p class="empty card">Nothing yet.</p>` : nothing}
        <ol class="card feed" role="log" aria-label="Events, newest first" ?hidden=${shown.length === 0}>
          ${repeat(
            shown,
            (event) => event.cursor,
            ({ at, kind, text, box }) => html`<li>${drawTime(at)} <code>${kind}</code>
              <span>${text}</span> ${box === undefined ? nothing : html`<a href=${hashOf("boxes", box)}>${box}</a>`}</li>`,
          )}
        </ol>
      `;
    },
  };
}

/** Pure: the cursor of some events earlier. Cursors are `<epoch>.<number>`; one that is no more kept is answered with the next that is. */
function stepBack(cursor, count) {
  const dot = cursor.lastIndexOf(".");
  return `${cursor.slice(0, dot)}.${Math.max(0, Number(cursor.slice(dot + 1)) - count)}`;
}
