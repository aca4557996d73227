import { oneLine } from "../base/log.ts";
import type { Placement, SessionView, SessionWish } from "../contract/fleet/session.ts";
import type { SessionEndpoint } from "../contract/session-status.ts";
import { formatAge, formatBytes, formatDuration } from "./duration.ts";
import { countOf, type View } from "./output.ts";
import { renderTable } from "./render-table.ts";
import { SESSION_TONES } from "./session-tones.ts";
import { formatMs } from "./tunnel-views.ts";

export function renderSessions(sessions: readonly SessionView[], view: View): string {
  if (sessions.length === 0) return "no session\n";
  return renderTable(
    sessions,
    [
      { head: "SESSION", text: ({ id }) => id, rank: 9, least: 10 },
      { head: "NAME", text: ({ name }) => name, rank: 3, least: 8 },
      { head: "STATE", text: ({ state }) => state, tone: ({ state }) => SESSION_TONES[state], rank: 9 },
      { head: "FOR", text: ({ since }) => formatAge(since, view.nowMs), align: "right", rank: 6 },
      { head: "BOX", text: ({ box }) => box, rank: 8, least: 8 },
      { head: "USER", text: ({ user }) => user, rank: 5, least: 6 },
      { head: "CPU", text: ({ workload }) => percentOf(workload?.cpuPercent), align: "right", rank: 4 },
      { head: "MEMORY", text: (session) => memoryOf(session), align: "right", rank: 4 },
      { head: "SLEEPS IN", text: (session) => sleepsIn(session, view.nowMs), align: "right", rank: 5 },
      { head: "ENDPOINT", text: endpointOf, rank: 7, least: 16 },
      { head: "REASON", text: ({ reason }) => reason, rank: 2, least: 16 },
    ],
    view,
  );
}

function endpointOf({ session }: SessionView): string {
  const [first, ...more] = session?.endpoints ?? [];
  return `${first?.url ?? ""}${more.length > 0 ? ` and ${more.length} more` : ""}`;
}

function percentOf(percent: number | undefined): string | undefined {
  return percent === undefined ? undefined : `${Math.round(percent)} %`;
}

function memoryOf({ session, workload }: SessionView): string | undefined {
  const bytes = session?.sleep?.memoryBytes ?? session?.memoryBytes ?? workload?.rssBytes;
  return bytes === undefined ? undefined : formatBytes(bytes);
}

/** Until it hibernates by itself. */
function sleepsIn({ state, session }: SessionView, nowMs: number): string | undefined {
  const at = state === "running" || state === "degraded" ? session?.idle?.hibernatesAt : undefined;
  return at === undefined ? undefined : formatDuration((Date.parse(at) - nowMs) / 1000);
}

/** One line each, as they stand under what a command says of a session. */
export function renderEndpoints({ session }: SessionView): string {
  return (session?.endpoints ?? []).map(({ name, url }) => `  ${oneLine(name)}: ${oneLine(url)}\n`).join("");
}

/** Where it runs or would run, and what spoke against the others. */
export function renderPlacement({ box, reason, passedOver }: Placement): string {
  const head = box === undefined ? `no box takes it: ${oneLine(reason)}\n` : `${box}: ${oneLine(reason)}\n`;
  return `${head}${passedOver.map((each) => `  not ${each.box}: ${oneLine(each.reason)}\n`).join("")}`;
}

/** Everything about one session. Secrets come masked from the hub. */
export function renderSession(view: SessionView, { paint, nowMs }: View): string {
  const { id, name, user, state, since, reason, box, placement, session, wish } = view;
  const age = formatAge(since, nowMs);
  const told: (readonly [string, string | undefined])[] = [
    ["reason", reason],
    ["user", user],
    ["box", box === undefined ? "none yet" : `${box}${placement === undefined ? "" : `, ${placement.reason}`}`],
    ["runs", runsOf(view)],
    ["platform", platformOf(view)],
    ...(session?.endpoints ?? []).map((each) => ["endpoint", `${each.name}: ${each.url}${reachOf(each)}`] as const),
    ["sleeps", sleepOf(view, nowMs)],
    ["idle", idleOf(view, nowMs)],
    ["wakes in", wakesOf(view)],
    ["ends", session?.endsAt],
    ["ended", session?.ended === undefined ? undefined : `${session.ended.at}: ${session.ended.reason}`],
    ["uses", usesOf(view)],
    ["limits", limitsOf(wish)],
    ["volume", undefined],
    ...(wish.volumes ?? []).map((volume) => ["volume", volumeOf(volume)] as const),
    ["restarts", restartsOf(view)],
    ["last exit", lastExitOf(view)],
    ["unclaimed", session?.unclaimed === undefined ? undefined : "its hub has lost its memory of it; it is kept"],
    [
      "environment",
      Object.entries(wish.template.env ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join(" ") || undefined,
    ],
  ];
  const line = (label: string, text: string) => `${label.padEnd(13)}${text}\n`;
  return [
    line("session", `${paint("strong", id)}${name === undefined ? "" : ` (${oneLine(name)})`}`),
    line("state", `${paint(SESSION_TONES[state], state)}${age === undefined ? "" : ` for ${age}`}`),
    ...told.flatMap(([label, text]) => (text === undefined ? [] : [line(label, oneLine(text))])),
    ...(placement?.passedOver ?? []).map((each) => line("not on", `${each.box}: ${oneLine(each.reason)}`)),
  ].join("");
}

/** On its loopback nobody but the box itself gets there. */
function reachOf({ address }: SessionEndpoint): string {
  return address === "::1" || address.startsWith("127.") ? " (on the box itself only)" : "";
}

function runsOf({ wish: { template } }: SessionView): string {
  const { image, command = [], args = [] } = template;
  return [...(image === undefined ? [] : [image]), ...command, ...args].join(" ");
}

/** Of a container's id: as many as its engine shows. */
const INSTANCE_LETTERS = 12;

function platformOf({ session, wish }: SessionView): string | undefined {
  const platform = session?.platform ?? wish.platform;
  if (platform === undefined) return undefined;
  return session?.instance === undefined ? platform : `${platform}, ${session.instance.slice(0, INSTANCE_LETTERS)}`;
}

function sleepOf({ session }: SessionView, nowMs: number): string | undefined {
  const sleep = session?.sleep;
  if (sleep === undefined) return undefined;
  const holds = sleep.memoryBytes === undefined ? "" : `, holds ${formatBytes(sleep.memoryBytes)} of memory`;
  const why = sleep.because === "idle" ? "because nobody used it" : "because it was asked to";
  return `${sleep.depth} for ${formatAge(sleep.since, nowMs) ?? "?"}, ${why}${holds}`;
}

const SOURCE_WORDS = {
  start: "its start",
  wake: "its wake",
  connection: "a connection",
  datagram: "datagrams",
  cpu: "its processor time",
  call: "a call",
} as const;

function idleOf({ session, wish, state }: SessionView, nowMs: number): string | undefined {
  const rule = wish.idleTimeout === undefined ? undefined : `hibernates after ${wish.idleTimeout} unused`;
  const idle = session?.idle;
  if (rule === undefined || idle === undefined || state === "hibernated") return rule;
  const { at, source } = idle.lastActivity;
  const left = formatDuration((Date.parse(idle.hibernatesAt) - nowMs) / 1000);
  return `hibernates in ${left}; last used ${formatAge(at, nowMs) ?? "?"} ago by ${SOURCE_WORDS[source]}`;
}

function wakesOf({ session }: SessionView): string | undefined {
  const entries = Object.entries(session?.wakeMs ?? {});
  const told = entries.flatMap(([depth, ms]) => (ms === undefined ? [] : [`${formatMs(ms)} from ${depth}`]));
  return told.length === 0 ? undefined : told.join(", ");
}

function usesOf(view: SessionView): string | undefined {
  const { session, workload } = view;
  const memory = memoryOf(view);
  const parts = [
    ...(workload?.cpuPercent === undefined ? [] : [`${percentOf(workload.cpuPercent)} of a core`]),
    ...(memory === undefined ? [] : [`${memory} of memory`]),
    ...(session?.openConnections === undefined ? [] : [countOf(session.openConnections, "connection")]),
  ];
  return parts.length === 0 ? undefined : parts.join(", ");
}

function limitsOf({ resources }: SessionWish): string | undefined {
  if (resources === undefined) return undefined;
  const { cpu, memory, gpus } = resources;
  const parts = [
    ...(cpu === undefined ? [] : [`${cpu} processors`]),
    ...(memory === undefined ? [] : [`${memory} memory`]),
    ...(gpus === undefined ? [] : [countOf(gpus, "GPU")]),
  ];
  return parts.join(", ");
}

function volumeOf({ name, path, hostPath, readOnly, onStop }: NonNullable<SessionWish["volumes"]>[number]): string {
  const rules = [readOnly === true ? "read only" : "", onStop === "delete" ? "deleted at its stop" : ""];
  return [`${hostPath ?? name} at ${path}`, ...rules.filter((text) => text !== "")].join(", ");
}

function restartsOf({ workload }: SessionView): string | undefined {
  if (workload === undefined) return undefined;
  const next = workload.nextStartInSeconds;
  return `${workload.restarts}${next === undefined ? "" : `, the next in ${formatDuration(next)}`}`;
}

const OUT_OF_MEMORY: readonly string[] = ["oom-killed", "over-memory"];

function lastExitOf({ workload }: SessionView): string | undefined {
  const exit = workload?.lastExit;
  if (exit === undefined) return undefined;
  const how = exit.signal === null ? `status ${exit.code ?? "unknown"}` : exit.signal;
  const word = OUT_OF_MEMORY.includes(exit.class) ? "out of memory: " : "";
  const evidence = exit.evidence === undefined ? "" : `: ${exit.evidence}`;
  return `${word}${exit.class} (${how}) at ${exit.at}${evidence}`;
}
