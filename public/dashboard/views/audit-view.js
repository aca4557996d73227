import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { drawTable } from "../history.js";
import { drawTime } from "../time.js";

const TYPING_MS = 250;

/** Who did what to what, newest first. */
export function createAuditView({ api, redraw, ask, notify }) {
  const filter = { actor: "", action: "", subject: "" };
  let items;
  let next;
  let typing;
  const change = (name, value) => {
    filter[name] = value.trim();
    clearTimeout(typing);
    typing = setTimeout(ask, TYPING_MS);
  };
  const more = async () => {
    const page = await api.get("/v1/audit", { ...filter, after: next });
    items = [...items, ...page.items];
    next = page.next;
    redraw();
  };

  return {
    title: "Audit",
    load: async (signal) => {
      const page = await api.get(
        "/v1/audit",
        { ...filter, limit: Math.max(100, Math.min(1000, items?.length ?? 0)) },
        signal,
      );
      items = page.items;
      next = page.next;
    },
    hears: () => false,
    refreshMs: 15_000,
    close: () => clearTimeout(typing),
    draw: () => html`
      <form class="card filters" role="search" aria-label="Audit" @submit=${(event) => event.preventDefault()}>
        ${[
          ["actor", "Who", "operator:…"],
          ["action", "What", "box, workload.put"],
          ["subject", "To what", "box/north-1"],
        ].map(
          ([name, label, placeholder]) => html`<label class="field">${label}
            <input type="search" placeholder=${placeholder} spellcheck="false" @input=${(event) => change(name, event.target.value)}></label>`,
        )}
      </form>
      ${
        items === undefined
          ? html`<p class="empty">Asking the hub…</p>`
          : drawTable({
              title: "What was done",
              none: "Nothing is like that.",
              heads: ["when", "who", "what", "to what", "outcome", "from", "detail"],
              rows: items.map(({ at, actor, action, subject, outcome, address, detail }) => [
                drawTime(at),
                html`<code>${actor}</code>`,
                action,
                html`<code>${subject}</code>`,
                html`<span class="state" data-tone=${outcome === "done" ? "good" : "bad"}>${outcome}</span>`,
                address ?? "",
                detail ?? "",
              ]),
              shown: items.length,
            })
      }
      ${next === undefined ? nothing : html`<button type="button" @click=${() => more().catch((error) => notify(error.message, "error"))}>Show more</button>`}
    `,
  };
}
