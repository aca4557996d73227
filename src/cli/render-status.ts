import Table from "cli-table3";
import { oneLine } from "../base/log.ts";
import type { AgentStatus, LinkStatus, WorkloadStatus } from "../contract/local-status.ts";
import { formatAge, formatDuration } from "./duration.ts";
import { createPaint, type Paint, type Tone } from "./paint.ts";
import { PLAIN_BORDERS } from "./plain-borders.ts";
import { WORKLOAD_TONES } from "./workload-tones.ts";

export interface RenderOptions {
  readonly hasColour: boolean;
  /** Wall time, for ages. */
  readonly nowMs: number;
}

const LINK_TONES: Readonly<Record<LinkStatus["state"], Tone>> = {
  off: "quiet",
  connecting: "warn",
  live: "good",
  waiting: "warn",
  degraded: "bad",
};

/** What a person wants to know first: is anything wrong, with what, and since when. Ends with a line end. */
export function renderStatus(status: AgentStatus, { hasColour, nowMs }: RenderOptions): string {
  const paint = createPaint(hasColour);
  return `${[...renderAgent(status, paint, nowMs), "", renderWorkloads(status.workloads, paint, nowMs)].join("\n")}\n`;
}

function renderAgent(status: AgentStatus, paint: Paint, nowMs: number): string[] {
  const { link, expected, registry, report, badInputs } = status;
  const name = status.boxName === undefined ? "" : ` (${oneLine(status.boxName)})`;
  const uptime = formatAge(status.startedAt, nowMs);
  const lines = [
    `${label("box")}${paint("strong", status.boxId)}${name} · agent ${status.agentVersion}, pid ${status.pid}${uptime === undefined ? "" : `, up ${uptime}`} · started after a ${status.verdict}`.replace(
      "after a first",
      "for the first time",
    ),
    `${label("link")}${renderLink(link, paint, nowMs)}`,
    `${label("expected")}${count(expected.workloads, "workload")}${expected.revision === undefined ? "" : `, revision ${expected.revision}`}`,
  ];
  if (expected.held !== undefined) {
    const { ids, appliesInSeconds, reason } = expected.held;
    const when = `applies in ${formatDuration(appliesInSeconds)}`;
    lines.push(`${label("held")}${paint("warn", `removal of ${ids.join(", ")}: ${oneLine(reason)}; ${when}`)}`);
  }
  if (status.hold !== undefined) lines.push(`${label("waits")}${renderHold(status.hold, paint, nowMs)}`);
  if (status.enrolment !== undefined) lines.push(`${label("hub")}${renderEnrolment(status.enrolment, paint, nowMs)}`);
  lines.push(`${label("registry")}${registry.durable ? "on disk" : paint("bad", notDurable(registry.reason))}`);
  const queue = `${report.queued} queued${report.dropped === 0 ? "" : `, ${report.dropped} dropped`}`;
  const reportText = `${report.state}, ${queue}${report.reason === undefined ? "" : `: ${oneLine(report.reason)}`}`;
  lines.push(
    `${label("report")}${report.state === "off" ? "off" : paint(report.state === "ok" ? "good" : "warn", reportText)}`,
  );
  if (status.remote !== undefined) {
    const { allows, fingerprint } = status.remote;
    lines.push(
      `${label("remote")}${allows.length === 0 ? "off" : paint("warn", `operators may ${allows.join(", ")}`)}`,
    );
    if (allows.length > 0 && fingerprint !== undefined) lines.push(`${label("remote key")}${fingerprint}`);
  }
  for (const { kind, cause, start, end } of status.incidents) {
    if (end !== undefined) continue;
    lines.push(`${label("incident")}${paint("bad", kind)} for ${formatAge(start, nowMs) ?? start}: ${oneLine(cause)}`);
  }
  for (const { paused } of status.guard?.roots ?? []) {
    if (paused !== undefined) lines.push(`${label("recording")}${paint("bad", "paused")}: ${oneLine(paused)}`);
  }
  const bad = Object.entries({ ...link.badEvents, ...badInputs }).filter(([, times]) => times > 0);
  if (bad.length > 0) {
    const counts = bad.map(([kind, times]) => `${kind} ${times}`).join(", ");
    const last = link.lastBadEvent === undefined ? "" : `; last: ${oneLine(link.lastBadEvent)}`;
    lines.push(`${label("bad input")}${paint("warn", `${counts}${last}`)}`);
  }
  return lines;
}

function renderLink(link: LinkStatus, paint: Paint, nowMs: number): string {
  const state = paint(LINK_TONES[link.state], link.state);
  if (link.state === "off" && link.endpoint !== "")
    return `${state} · ${oneLine(link.endpoint)} · begins once this box is enrolled`;
  if (link.state === "off") return `${state} · no endpoint is configured: the last known set is kept`;
  const parts = [state, oneLine(link.endpoint), `since ${formatAge(link.since, nowMs) ?? link.since}`];
  if (link.state === "live") parts.push(count(link.events, "event"));
  if (link.reason !== undefined && link.state !== "live") parts.push(oneLine(link.reason));
  if (link.attempts > 0) parts.push(`${count(link.attempts, "attempt")} without an event`);
  if (link.nextAttemptInSeconds !== undefined) parts.push(`next in ${formatDuration(link.nextAttemptInSeconds)}`);
  return parts.join(" · ");
}

function renderHold({ reason, since }: NonNullable<AgentStatus["hold"]>, paint: Paint, nowMs: number): string {
  const words: Readonly<Record<string, string>> = {
    pending: "for a person to approve this box on the hub",
    quarantined: "in quarantine: another machine goes by the same identity; enrol the copy anew, then release this box",
  };
  return `${paint("bad", words[reason] ?? oneLine(reason))} · since ${formatAge(since, nowMs) ?? since}; streams stay as they are`;
}

function renderEnrolment(
  { hub, state, reason, keySince }: NonNullable<AgentStatus["enrolment"]>,
  paint: Paint,
  nowMs: number,
): string {
  const age = keySince === undefined ? undefined : formatAge(keySince, nowMs);
  return [
    paint(state === "enrolled" ? "good" : "warn", state),
    oneLine(hub),
    ...(age === undefined ? [] : [`key ${age} old`]),
    ...(reason === undefined ? [] : [paint("warn", oneLine(reason))]),
  ].join(" · ");
}

function renderWorkloads(workloads: readonly WorkloadStatus[], paint: Paint, nowMs: number): string {
  if (workloads.length === 0) return "no workloads";
  const table = new Table({
    head: ["ID", "STATE", "FOR", "PID", "RESTARTS", "FPS", "KBIT/S", "SPEED", "WHAT"],
    chars: PLAIN_BORDERS,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    colAligns: ["left", "left", "right", "right", "right", "right", "right", "right", "left"],
  });
  for (const workload of workloads) {
    table.push([
      workload.id,
      paint(WORKLOAD_TONES[workload.state], workload.state),
      formatAge(workload.since, nowMs) ?? "",
      workload.pid ?? "",
      workload.restarts,
      number(workload.media?.fps, 1),
      number(workload.media?.bitrateKbit ?? kbitOf(workload.tunnel), 0),
      number(workload.media?.speed, 2),
      describe(workload, paint),
    ]);
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

function kbitOf(tunnel: WorkloadStatus["tunnel"]): number | undefined {
  return tunnel?.bitsPerSecond === undefined ? undefined : tunnel.bitsPerSecond / 1000;
}

/** `up, 4.3 ms to the other end, 2 connections` */
function tunnelText(tunnel: NonNullable<WorkloadStatus["tunnel"]>): string {
  const { phase, latencyMs, connections } = tunnel;
  const latency = latencyMs === undefined ? [] : [`${latencyMs.toFixed(1)} ms to the other end`];
  const open = connections === undefined ? [] : [count(connections, "connection")];
  return [phase, ...latency, ...open].join(", ");
}

/** `http://127.0.0.1:21000, expected by a command (generation 3)` */
function sessionText({ endpoints = [], commanded, unclaimed }: NonNullable<WorkloadStatus["session"]>): string {
  return [
    ...endpoints.map(({ url }) => url),
    ...(commanded === undefined ? [] : [`expected by a command (generation ${commanded.generation})`]),
    ...(unclaimed === undefined ? [] : ["kept for a hub that does not know it any more"]),
  ].join(", ");
}

function describe(workload: WorkloadStatus, paint: Paint): string {
  const { description, nextStartInSeconds, update, tunnel, session } = workload;
  const cause = workload.cause ?? tunnel?.reason;
  const next = nextStartInSeconds === undefined ? "" : ` (next start in ${formatDuration(nextStartInSeconds)})`;
  const because =
    cause === undefined && next === "" ? "" : `\n${paint("warn", `${oneLine(cause ?? "")}${next}`.trim())}`;
  const isUnderWay = update?.state === "proving" || update?.state === "replacing";
  const updating = isUnderWay ? `\n${paint("quiet", oneLine(`update: ${update.message}`))}` : "";
  const text = tunnel === undefined ? session && sessionText(session) : tunnelText(tunnel);
  const told = text === undefined || text === "" ? "" : `\n${paint("quiet", oneLine(text))}`;
  return `${oneLine(description)}${told}${because}${updating}`;
}

function notDurable(reason: string | undefined): string {
  const why = reason === undefined ? "" : ` (${oneLine(reason)})`;
  return `NOT on disk${why}: streams go on; an agent that starts now finds them by their marks`;
}

function label(text: string): string {
  return text.padEnd(11);
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

function number(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}
