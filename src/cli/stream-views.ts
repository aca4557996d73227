import { oneLine } from "../base/log.ts";
import { describeWorkload } from "../contract/describe-spec.ts";
import type { FleetWorkloadView } from "../contract/fleet/expected-view.ts";
import type { SegmentCounts } from "../contract/local-status.ts";
import { maskWorkload } from "../contract/mask-workload.ts";
import type { SegmentMove } from "../contract/stream-spec.ts";
import type { Workload, WorkloadState } from "../contract/workload.ts";
import { formatAge, formatDuration } from "./duration.ts";
import type { View } from "./output.ts";
import { type Column, renderTable } from "./render-table.ts";
import { WORKLOAD_TONES } from "./workload-tones.ts";

const STATE_TONES = { ...WORKLOAD_TONES, hibernated: "quiet", unknown: "quiet" } as const;

/** What its box last said; `unknown` when it has said nothing of it. */
export function streamState({ desired, status }: FleetWorkloadView): WorkloadState | "hibernated" | "unknown" {
  if (desired === "hibernated") return "hibernated";
  return status?.state ?? "unknown";
}

export function renderStreams(
  streams: readonly FleetWorkloadView[],
  view: View & { readonly withBox: boolean },
): string {
  if (streams.length === 0) return "no stream\n";
  const figure = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? "";
  const box: Column<FleetWorkloadView> = { head: "BOX", text: (stream) => stream.box, rank: 9, least: 8 };
  const columns: readonly Column<FleetWorkloadView>[] = [
    ...(view.withBox ? [box] : []),
    { head: "STREAM", text: ({ workload }) => workload.id, rank: 9, least: 10 },
    { head: "STATE", text: streamState, tone: (stream) => STATE_TONES[streamState(stream)], rank: 9 },
    {
      head: "FOR",
      text: ({ status }) => (status === undefined ? "" : formatAge(status.since, view.nowMs)),
      align: "right",
      rank: 6,
    },
    { head: "FPS", text: ({ status }) => figure(status?.media?.fps, 1), align: "right", rank: 4 },
    { head: "KBIT/S", text: ({ status }) => figure(status?.media?.bitrateKbit, 0), align: "right", rank: 4 },
    { head: "RESTARTS", text: ({ status }) => status?.restarts, align: "right", rank: 3 },
    ...(streams.some(({ status }) => status?.segments !== undefined) ? [MOVED] : []),
    { head: "OWNER", text: ({ owner }) => owner, rank: 1, least: 8 },
    { head: "WHAT", text: whatOf, rank: 7, least: 16 },
  ];
  return renderTable(streams, columns, view);
}

/** Of finished recordings: `12`, and where some have not arrived `12, 2 wait, 1 failed`. */
const MOVED: Column<FleetWorkloadView> = {
  head: "MOVED",
  text: ({ status }) => (status?.segments === undefined ? "" : countsText(status.segments)),
  tone: ({ status }) => ((status?.segments?.failed ?? 0) > 0 ? "bad" : undefined),
  rank: 5,
};

function countsText({ moved, waiting, failed }: SegmentCounts): string {
  return [String(moved), ...(waiting > 0 ? [`${waiting} wait`] : []), ...(failed > 0 ? [`${failed} failed`] : [])].join(
    ", ",
  );
}

/** Where something is wrong, that comes first. */
function whatOf({ workload, status }: FleetWorkloadView): string {
  const cause = status?.cause === undefined ? "" : `${status.cause} · `;
  return `${cause}${describeWorkload(workload)}`;
}

/** Everything about one stream. */
export function renderStream(stream: FleetWorkloadView, { paint, nowMs }: View): string {
  const { workload, status, owner, desired } = stream;
  const state = streamState(stream);
  const age = status === undefined ? undefined : formatAge(status.since, nowMs);
  const told: (readonly [string, string | undefined])[] = [
    ["cause", status?.cause],
    ["wanted", `${desired}${owner === undefined ? "" : `, by ${owner}`}`],
    ...specOf(workload),
    ["media", mediaOf(stream)],
    ["proved", provedOf(stream)],
    ["recordings", segmentsOf(stream)],
    ["not moved", segmentErrorOf(stream, nowMs)],
    ["process", processOf(stream)],
    ["last exit", lastExitOf(stream)],
  ];
  const line = (label: string, text: string) => `${label.padEnd(13)}${text}\n`;
  return [
    line("stream", `${paint("strong", `${stream.box}/${workload.id}`)}${nameOf(workload.name)}`),
    line("state", `${paint(STATE_TONES[state], state)}${age === undefined ? "" : ` for ${age}`}`),
    ...told.flatMap(([label, text]) => (text === undefined ? [] : [line(label, oneLine(text))])),
  ].join("");
}

function specOf(workload: Workload): readonly (readonly [string, string | undefined])[] {
  if (workload.kind !== "stream") return [["what", describeWorkload(workload)]];
  const { spec } = maskWorkload(workload);
  const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  return [
    ["input", spec.input.url],
    ...spec.outputs.flatMap(({ url, move }) => [
      ["output", url] as const,
      ...(move === undefined ? [] : [["moves", movesText(move, workload.id)] as const]),
    ]),
    ["video", spec.video === undefined ? undefined : asText(spec.video)],
    ["audio", spec.audio === undefined ? undefined : asText(spec.audio)],
    ["via", spec.via === undefined ? undefined : `tunnel ${spec.via}`],
  ];
}

function movesText({ to, keepHere }: SegmentMove, id: string): string {
  const stay = keepHere === undefined ? "at once" : `after ${keepHere}`;
  return `finished files to ${to}, gone from here ${stay}; sluice sync ls shows them as rec-${id}-…`;
}

function nameOf(name: string | undefined): string {
  return name === undefined ? "" : ` (${oneLine(name)})`;
}

function mediaOf({ status }: FleetWorkloadView): string | undefined {
  const media = status?.media;
  if (media === undefined) return undefined;
  const parts = [
    [media.fps, 1, "fps"],
    [media.bitrateKbit, 0, "kbit/s"],
    [media.speed, 2, "× real time"],
    [media.droppedFrames, 0, "frames dropped"],
  ] as const;
  return parts
    .flatMap(([value, digits, unit]) => (value === undefined ? [] : [`${value.toFixed(digits)} ${unit}`]))
    .join(" · ");
}

function provedOf({ status }: FleetWorkloadView): string | undefined {
  const proof = status?.proof;
  if (proof === undefined) return undefined;
  const gaps = proof.gapCount === 1 ? "1 gap" : `${proof.gapCount} gaps`;
  return `media for ${proof.percent} % of ${formatDuration(proof.expectedSeconds)}, ${gaps}`;
}

function segmentsOf({ status }: FleetWorkloadView): string | undefined {
  if (status?.segments === undefined) return undefined;
  const { moved, waiting, failed } = status.segments;
  return `${moved} moved, ${waiting} waiting, ${failed} failed`;
}

function segmentErrorOf({ status }: FleetWorkloadView, nowMs: number): string | undefined {
  const error = status?.segments?.lastError;
  return error === undefined ? undefined : `${error.message} (${formatAge(error.at, nowMs) ?? error.at} ago)`;
}

function processOf({ status }: FleetWorkloadView): string | undefined {
  if (status?.pid === undefined) return undefined;
  const { pid, restarts, cpuPercent } = status;
  const cpu = cpuPercent === undefined ? "" : `, ${Math.round(cpuPercent)} % of a core`;
  return `pid ${pid}, ${restarts === 1 ? "1 restart" : `${restarts} restarts`}${cpu}`;
}

function lastExitOf({ status }: FleetWorkloadView): string | undefined {
  const exit = status?.lastExit;
  if (exit === undefined) return undefined;
  const how = exit.signal === null ? `status ${exit.code ?? "unknown"}` : exit.signal;
  return `${exit.class} (${how}) at ${exit.at}${exit.evidence === undefined ? "" : `: ${exit.evidence}`}`;
}
