import UPlot from "/vendor/uplot/uPlot.esm.js";
import { element, setText } from "../shared/element.js";

const HEIGHT = 150;
const COLOURS = ["--accent", "--busy", "--good"];

/**
 * One chart over time. `update` gets points as the hub tells them, and from when to when (ms); the figures that are drawn are `names`, in this order.
 *
 * @param {{title: string, names: readonly {name: string, label: string}[], format: (value: number) => string, min?: number,
 *   max?: number}} options
 */
export function createChart({ title, names, format, min, max }) {
  const caption = element("figcaption");
  const summary = element("span", { class: "soft" });
  caption.append(element("b", {}, title), summary);
  const place = element("div", { class: "plot", role: "img", "aria-label": title });
  const node = element("figure", { class: "card chart", "data-chart": title }, caption, place);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let plot;
  let data = [[], ...names.map(() => [])];
  /** Seconds since 1970: from where to where time goes. */
  let span = [0, 1];

  /** Of more than two days, the day stands with the time. */
  const axisText = (seconds) => (span[1] - span[0] > 2 * 86_400 ? dayText(seconds) : timeText(seconds));
  const draw = () => {
    plot?.destroy();
    plot = undefined;
    if (place.clientWidth === 0) return;
    const style = getComputedStyle(node);
    const colour = (name) => resolveColour(node, style.getPropertyValue(name));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    plot = new UPlot(
      {
        width: place.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { x: { range: () => span }, y: { range: (_plot, low, high) => rangeOf({ low, high, min, max }) } },
        axes: [
          { ...axis, values: (_plot, times) => times.map(axisText), space: 70, size: 28 },
          { ...axis, size: 78, values: (_plot, values) => values.map(format) },
        ],
        series: [
          {},
          ...names.map(({ label }, index) => ({
            label,
            stroke: colour(COLOURS[index] ?? "--ink"),
            width: 1.6,
            points: { show: data[0].length < 2 },
            spanGaps: false,
            dash: index === 0 ? [] : [6, 3],
          })),
        ],
        hooks: { setCursor: [({ cursor: { idx } }) => say(idx)] },
      },
      data,
      place,
    );
  };
  const say = (index) => {
    const at = index ?? lastFilled(data);
    const parts = names.flatMap(({ label }, series) => {
      const value = data[series + 1][at];
      return value === undefined || value === null
        ? []
        : [names.length > 1 ? `${label} ${format(value)}` : format(value)];
    });
    const when = index === null || index === undefined ? "" : ` at ${timeText(data[0][at])}`;
    setText(summary, parts.length === 0 ? "no figures yet" : parts.join(", ") + when);
    if (when === "") place.setAttribute("aria-label", `${title}: ${summary.textContent}`);
  };
  const resize = new ResizeObserver(() => {
    if (plot === undefined) draw();
    else if (place.clientWidth > 0 && plot.width !== place.clientWidth)
      plot.setSize({ width: place.clientWidth, height: HEIGHT });
  });
  resize.observe(place);
  dark.addEventListener("change", draw);

  return {
    node,
    update: (points, [from, to]) => {
      span = [from / 1000, to / 1000];
      data = [
        points.map(({ at }) => Date.parse(at) / 1000),
        ...names.map(({ name }) => points.map(({ values }) => values[name]?.mean ?? null)),
      ];
      node.hidden = data.slice(1).every((values) => values.every((value) => value === null));
      if (plot === undefined) draw();
      else plot.setData(data);
      say();
    },
    close: () => {
      resize.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    },
  };
}

/** Pure: from nothing, or the given least value, to a little more than the highest. */
function rangeOf({ low, high, min = 0, max }) {
  if (low === null || high === null) return [min, max ?? min + 1];
  const top = Math.max(high, min);
  return [Math.min(min, low), max ?? (top === min ? min + 1 : top * 1.1)];
}

function lastFilled([times, ...series]) {
  for (let index = times.length - 1; index >= 0; index--) {
    if (series.some((values) => values[index] !== null)) return index;
  }
  return times.length - 1;
}

/** A canvas does not know `light-dark()`: what the browser makes of it does. */
function resolveColour(node, text) {
  const probe = element("span");
  probe.style.color = text;
  node.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function timeText(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

function dayText(seconds) {
  return new Date(seconds * 1000).toLocaleDateString([], { month: "short", day: "numeric" });
}
