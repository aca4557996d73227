import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { hashOf } from "../address.js";
import { drawTime } from "../time.js";

const KEEP = 1000;

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
        const page = await api.get(
          "/v1/events",
          { limit: 500, ...(cursor === undefined ? {} : { after: cursor }) },
          signal,
        );
        if (page.gone !== undefined) items = [];
        items = [...page.items.toReversed(), ...items].slice(0, KEEP);
        cursor = page.next;
        isRead = true;
        if (page.items.length === 0) return;
      }
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
