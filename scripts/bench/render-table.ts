import type { Row } from "./measurement.ts";
import { median, summarize } from "./statistics.ts";

const HEAD = ["what", "p50", "p99", "max", "n", "bar", "", "peers (ours/theirs)"];

/** A table in Markdown, which a terminal shows as well as a page does. */
export function renderTable(rows: readonly Row[]): string {
  const cells = [HEAD, ...rows.map(toCells)];
  const widths = HEAD.map((_, column) => Math.max(1, ...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => `| ${line.map((text, column) => text.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

/** Whether the row clears its bar; `undefined` without one. */
export function isMet({ samples, bar }: Row): boolean | undefined {
  if (bar === undefined) return undefined;
  const value = summarize(samples)[bar.of];
  return bar.isFloor === true ? value >= bar.limit : value <= bar.limit;
}

function toCells(row: Row): string[] {
  const { what, samples, unit, peers = [] } = row;
  const { n, p50, p99, max } = summarize(samples);
  const met = isMet(row);
  return [
    what,
    withUnit(p50, unit),
    n > 1 ? withUnit(p99, unit) : "",
    n > 1 ? withUnit(max, unit) : "",
    String(n),
    barText(row),
    met === undefined ? "" : met ? "ok" : "MISSED",
    peers.map((peer) => peerText(row, peer)).join("; "),
  ];
}

function barText({ bar, samples, unit }: Row): string {
  if (bar === undefined) return "";
  const of = bar.of === "max" && samples.length === 1 ? "" : `${bar.of} `;
  // The only one that has no column.
  const value = bar.of === "p95" ? ` (${withUnit(summarize(samples).p95, unit)})` : "";
  return `${of}${bar.isFloor === true ? "≥" : "≤"} ${bar.limit} ${unit}`.trim() + value;
}

function peerText(
  { samples, unit }: Row,
  peer: { readonly name: string; readonly samples: readonly number[] },
): string {
  const theirs = summarize(peer.samples);
  const spread = theirs.n > 1 ? ` p50, ${withUnit(theirs.p99, unit)} p99` : "";
  const ratio = median(samples) / theirs.p50;
  return `${peer.name}: ${withUnit(theirs.p50, unit)}${spread}${Number.isFinite(ratio) ? ` (${ratio.toFixed(2)})` : ""}`;
}

function withUnit(value: number, unit: string): string {
  const digits = unit === "" ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`.trim();
}
