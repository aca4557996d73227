import { repeat } from "/vendor/lit-html/directives/repeat.js";
import { html, nothing } from "/vendor/lit-html/lit-html.js";

/** How many are asked for at first and with each press of "Show more", and the most that a hub gives at once. */
const STEP = 200;
const MOST = 1000;

/**
 * A list of what the hub has, read whole each time: as many as were wanted so far, in the order of `compare`.
 *
 * @param {{api: object, ask: () => void}} context
 * @param {{path: string, filter: Record<string, string>, compare: (one: object, other: object) => number,
 *   toPage?: (answer: unknown, limit: number) => {items: object[], next?: unknown}}} options `toPage`: of an answer that is no page
 */
export function createPageList({ api, ask }, { path, filter, compare, toPage = (answer) => answer }) {
  let items;
  let next;
  let limit = STEP;

  const more = () => {
    limit = Math.min(MOST, limit + STEP);
    ask();
  };

  return {
    /** Undefined until the hub has answered. */
    items: () => items,
    load: async (signal) => {
      const page = toPage(await api.get(path, { ...filter, limit }, signal), limit);
      next = page.next;
      items = page.items.toSorted(compare);
    },
    /** `empty`: what is said where there is none. */
    draw: ({ label, empty, keyOf, drawRow }) => html`
      ${items === undefined ? html`<p class="empty">Asking the hub…</p>` : nothing}
      ${items?.length === 0 ? html`<p class="empty card">${empty}</p>` : nothing}
      <ul class="rows" aria-label=${label}>${repeat(items ?? [], keyOf, drawRow)}</ul>
      ${next === undefined || limit >= MOST ? nothing : html`<button type="button" @click=${more}>Show more (${items?.length} shown)</button>`}
    `,
  };
}

/** What stands earlier among `words` comes first. */
export function byRank(words, wordOf) {
  return (one, other) => words.indexOf(wordOf(one)) - words.indexOf(wordOf(other));
}
