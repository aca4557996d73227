import { html, nothing } from "/vendor/lit-html/lit-html.js";
import { pathOf } from "./api.js";
import { drawField, drawSelect } from "./field.js";
import { createFormSubmit } from "./form-submit.js";
import { toTunnel } from "./tunnel-form.js";

const SECURITIES = [
  ["cert", "certificates, pinned"],
  ["psk", "one shared key"],
];
const TLS = [
  ["1.3", "1.3 only"],
  ["1.2", "1.2 or newer"],
];

/** The form that joins two boxes. `open` shows it, `onMade` gets the tunnel that the hub made. */
export function createTunnelForm({ api, redraw, onMade }) {
  const sending = createFormSubmit(redraw);
  const { problem } = sending;
  let boxes;

  const submit = sending.on(async (form) => {
    const uid = form.elements.uid.value.trim();
    const body = toTunnel(new FormData(form));
    const made = uid === "" ? await api.post("/v1/tunnels", { body }) : await putNew(uid, body);
    boxes = undefined;
    onMade(made);
  });
  /** Only where there is none: a form that makes a tunnel must not turn another one into it. */
  const putNew = async (uid, body) => {
    try {
      return await api.put(pathOf("v1", "tunnels", uid), { body, revision: 0 });
    } catch (error) {
      if (error.currentRevision === undefined) throw error;
      throw Object.assign(new Error(`${uid} is there already; choose another, or leave it empty`), { field: "uid" });
    }
  };

  return {
    open: async () => {
      problem.clear();
      const page = await api.get("/v1/boxes", { state: "approved", limit: 1000 });
      boxes = page.items;
      redraw();
    },
    draw: () => {
      if (boxes === undefined) return nothing;
      if (boxes.length < 2)
        return html`<p class="card empty">A tunnel joins two boxes, and ${boxes.length} is approved.</p>`;
      const options = boxes.map(({ id, name }) => [id, name === id ? id : `${name} (${id})`]);
      const field = (given) => drawField(problem, given);
      const close = () => {
        boxes = undefined;
        redraw();
      };
      return html`<form class="card stack" @submit=${submit} novalidate aria-label="New tunnel">
        <div class="fields">
          ${drawSelect(problem, { name: "producer", label: "Producer", hint: "The box beside the sources", options, value: options[0][0] })}
          ${drawSelect(problem, { name: "consumer", label: "Consumer", hint: "The box with the entry points", options, value: options[1][0] })}
        </div>
        <div class="fields">
          ${field({ name: "sources", label: "Sources", required: true, placeholder: "10.0.0.5:554, 10.0.0.6:554", hint: "What the producer's box reaches: HOST:PORT, several with commas" })}
          ${field({ name: "entries", label: "Entry points (may stay empty)", placeholder: "5100, 127.0.0.1:5101", hint: "Where programs at the consumer connect; empty: 127.0.0.1 and a free port" })}
        </div>
        <div class="fields">
          ${drawSelect(problem, { name: "security", label: "Known by", options: SECURITIES, value: "cert" })}
          ${drawSelect(problem, { name: "minTls", label: "TLS", options: TLS, value: "1.3" })}
          ${field({ name: "rateMbit", label: "At most (Mbit/s)", inputmode: "decimal", placeholder: "no limit", hint: "Of each box's uplink" })}
          ${field({ name: "lifetimeSeconds", label: "It lasts", placeholder: "until it is ended", hint: "90s, 30m, 12h or 7d" })}
        </div>
        <details>
          <summary>Gateway, names and number of ways</summary>
          <div class="stack">
            <div class="fields">
              ${field({ name: "via.address", label: "Address of the producer's gateway", placeholder: "as its box declares", hint: "Where the consumer's box reaches it" })}
              ${field({ name: "via.listen", label: "It listens on", placeholder: "the same", hint: "Where another address leads to it" })}
              ${field({ name: "via.port", label: "From port", inputmode: "numeric", placeholder: "from its range" })}
            </div>
            <div class="fields">
              ${field({ name: "name", label: "Name" })}
              ${field({ name: "uid", label: "Uid", placeholder: "the hub makes one" })}
              ${field({ name: "connections", label: "Ways through", inputmode: "numeric", placeholder: "one for each source" })}
            </div>
          </div>
        </details>
        ${problem.drawRest()}
        ${sending.drawActions("Join them", html`<button type="button" @click=${close}>Cancel</button>`)}
      </form>`;
    },
  };
}
