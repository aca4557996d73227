import { oneLine } from "../base/log.ts";
import type { BoxHistoryView, BoxView } from "../contract/fleet/box-view.ts";
import { formatAge, formatDuration } from "./duration.ts";
import { countOf, type View } from "./output.ts";
import type { Paint, Tone } from "./paint.ts";
import { type Column, renderTable } from "./render-table.ts";

const CONNECTION_TONES: Readonly<Record<BoxView["connection"], Tone>> = {
  online: "good",
  degraded: "warn",
  offline: "bad",
  never: "quiet",
};

/** What matters most of a box, in a word or three: `pending`, `quarantined`, `online, draining`. */
export function stateOf({ state, quarantine, connection, draining }: BoxView): string {
  if (state !== "approved") return state;
  return [quarantine === undefined ? connection : "quarantined", ...(draining ? ["draining"] : [])].join(", ");
}

export function stateTone({ state, quarantine, connection }: BoxView): Tone {
  if (state === "pending") return "warn";
  return state === "revoked" || quarantine !== undefined ? "bad" : CONNECTION_TONES[connection];
}

export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

function boxColumns(nowMs: number): readonly Column<BoxView>[] {
  const percent = (value: number | undefined) => (value === undefined ? "" : `${Math.round(value)}%`);
  return [
    { head: "ID", text: ({ id }) => id, rank: 9, least: 12 },
    { head: "NAME", text: ({ name, id }) => (name === id ? "" : name), rank: 5, least: 8 },
    { head: "STATE", text: stateOf, tone: stateTone, rank: 9 },
    {
      head: "SEEN",
      text: ({ lastContactAt }) => (lastContactAt === undefined ? "never" : formatAge(lastContactAt, nowMs)),
      align: "right",
      rank: 7,
    },
    {
      head: "RUN",
      text: ({ workloads }) => `${workloads.running}/${workloads.total}`,
      tone: ({ workloads }) => (workloads.unwell > 0 ? "bad" : undefined),
      align: "right",
      rank: 8,
    },
    { head: "INCIDENTS", text: incidentKinds, tone: () => "bad", rank: 6, least: 10 },
    { head: "CPU", text: ({ node }) => percent(node?.cpuPercent), align: "right", rank: 4 },
    { head: "MEM", text: ({ node }) => percent(node?.memoryPercent), align: "right", rank: 3 },
    { head: "DISK", text: ({ node }) => percent(node?.diskPercent), align: "right", rank: 3 },
    { head: "AGENT", text: ({ agentVersion }) => agentVersion, rank: 1, least: 6 },
    { head: "LABELS", text: ({ labels }) => formatLabels(labels), rank: 2, least: 12 },
  ];
}

function incidentKinds({ incidents }: BoxView): string {
  return incidents.map(({ kind }) => kind).join(", ");
}

export function renderBoxes(boxes: readonly BoxView[], view: View): string {
  if (boxes.length === 0) return "no box\n";
  return renderTable(boxes, boxColumns(view.nowMs), view);
}

/** Everything about one box, without its streams. */
export function renderBox(box: BoxView, view: View): string {
  const { paint, nowMs } = view;
  const age = (iso: string | undefined) => (iso === undefined ? "never" : `${formatAge(iso, nowMs) ?? iso} ago`);
  const { node, applied } = box;
  const behind = applied?.revision === undefined ? "nothing applied yet" : `applied ${applied.revision}`;
  const isSettled = applied?.revision === box.expectedRevision;
  const lines: (readonly [string, string])[] = [
    ["box", `${paint("strong", box.id)}${box.name === box.id ? "" : ` (${oneLine(box.name)})`}`],
    ["state", paint(stateTone(box), stateOf(box))],
    ...(box.quarantine === undefined
      ? []
      : [["quarantine", paint("bad", `${oneLine(box.quarantine.reason)}, ${age(box.quarantine.since)}`)] as const]),
    ["seen", age(box.lastContactAt)],
    ["labels", formatLabels(box.labels) || "none"],
    [
      "agent",
      box.agentVersion === undefined ? "not known" : `${box.agentVersion}, last started after a ${box.verdict}`,
    ],
    ["expected", `revision ${box.expectedRevision}, ${isSettled ? behind : paint("warn", behind)}`],
    [
      "streams",
      `${box.workloads.running} of ${box.workloads.total} run${box.workloads.unwell === 0 ? "" : `, ${paint("bad", `${box.workloads.unwell} unwell`)}`}`,
    ],
    ...(node === undefined ? [] : [["machine", describeNode(node)] as const]),
    ...(box.sessions?.platforms ?? []).map((each) => ["platform", describePlatform(each, paint)] as const),
    ...box.incidents.map(
      ({ kind, cause, start }) =>
        ["incident", paint("bad", `${kind}: ${oneLine(cause)}, since ${age(start)}`)] as const,
    ),
    ["known since", box.createdAt],
    ["revision", String(box.revision)],
  ];
  return lines.map(([label, text]) => `${label.padEnd(13)}${text}\n`).join("");
}

function describePlatform(
  { platform, isReady, version, reason }: NonNullable<BoxView["sessions"]>["platforms"][number],
  paint: Paint,
): string {
  const more = [version, reason].flatMap((text) => (text === undefined ? [] : [`, ${oneLine(text)}`])).join("");
  return `${platform} ${isReady ? paint("good", "ready") : paint("bad", "away")}${more}`;
}

function describeNode(node: NonNullable<BoxView["node"]>): string {
  const parts = [
    ["CPU", node.cpuPercent, "%"],
    ["memory", node.memoryPercent, "%"],
    ["disk", node.diskPercent, "%"],
    ["", node.temperatureC, "°C"],
  ] as const;
  return parts
    .flatMap(([name, value, unit]) =>
      value === undefined ? [] : [`${name} ${Math.round(value)}${unit === "%" ? " %" : ` ${unit}`}`.trim()],
    )
    .join(" · ");
}

interface HistoryLine {
  readonly at: string;
  readonly what: string;
  readonly duration: string;
  readonly text: string;
  readonly tone: Tone;
}

/** Incidents, gaps and starts as one course of events, newest first. */
export function renderHistory(history: BoxHistoryView, view: View): string {
  const lengthOf = (start: string, end: string | undefined) =>
    end === undefined ? "until now" : formatDuration((Date.parse(end) - Date.parse(start)) / 1000);
  const lines: HistoryLine[] = [
    ...history.incidents.map(({ kind, cause, start, end }) => ({
      at: start,
      what: kind,
      duration: lengthOf(start, end),
      text: cause,
      tone: end === undefined ? ("bad" as const) : ("warn" as const),
    })),
    ...history.gaps.map(({ workload, cause, start, end }) => ({
      at: start,
      what: "gap",
      duration: lengthOf(start, end),
      text: `${workload}: ${cause}`,
      tone: end === undefined ? ("bad" as const) : ("warn" as const),
    })),
    ...history.starts.map(({ at, verdict, agentVersion }) => ({
      at,
      what: "agent",
      duration: "",
      text: `agent ${agentVersion} started after a ${verdict}`,
      tone: "quiet" as const,
    })),
  ].toSorted((left, right) => (left.at < right.at ? 1 : -1));
  if (lines.length === 0) return "nothing has happened yet\n";
  const columns: readonly Column<HistoryLine>[] = [
    { head: "AT", text: ({ at }) => at.replace(/\.\d+Z$/, "Z"), rank: 9 },
    { head: "WHAT", text: ({ what }) => what, tone: ({ tone }) => tone, rank: 8 },
    { head: "FOR", text: ({ duration }) => duration, align: "right", rank: 5 },
    { head: "CAUSE", text: ({ text }) => text, rank: 7, least: 20 },
  ];
  return `${renderTable(lines, columns, view)}${countOf(lines.length, "entry", "entries")}\n`;
}
