import { html } from "/vendor/lit-html/lit-html.js";
import { createChart } from "./chart.js";

const RANGES = [
  { key: "15m", label: "15 minutes", step: "15s", ms: 15 * 60_000 },
  { key: "6h", label: "6 hours", step: "1m", ms: 6 * 3_600_000 },
  { key: "7d", label: "7 days", step: "15m", ms: 7 * 86_400_000 },
];

/** Charts of one box's figures over one span of time, which a person chooses. */
export function createChartGroup({ api, path, charts: definitions, reload }) {
  const charts = definitions.map(createChart);
  const names = definitions.flatMap((definition) => definition.names.map(({ name }) => name)).join(",");
  let range = RANGES[0];
  let isEmpty = true;

  return {
    load: async (signal) => {
      const nowMs = api.nowMs();
      const fromMs = nowMs - range.ms;
      const from = new Date(fromMs).toISOString();
      const { points } = await api.get(
        path,
        { step: range.step, from, to: new Date(nowMs).toISOString(), names },
        signal,
      );
      isEmpty = points.length === 0;
      for (const chart of charts) chart.update(points, [fromMs, nowMs]);
    },
    draw: () => html`
      <div class="section-head">
        <h2>Charts</h2>
        <label class="inline">Last
          <select @change=${(event) => {
            range = RANGES.find(({ key }) => key === event.target.value) ?? RANGES[0];
            void reload();
          }}>
            ${RANGES.map(({ key, label }) => html`<option value=${key} ?selected=${key === range.key}>${label}</option>`)}
          </select></label>
      </div>
      ${isEmpty ? html`<p class="empty card">No figures of this time yet.</p>` : ""}
      <div class="charts" ?hidden=${isEmpty}>${charts.map(({ node }) => node)}</div>
    `,
    close: () => {
      for (const chart of charts) chart.close();
    },
  };
}
