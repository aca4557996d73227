import { bytesText, countText, secondsText } from "../shared/quantity.js";
import { percent } from "./figure-text.js";

/** What a session's figures read like. All pure. */

/** What is wrong with it is said in this tone; where nothing is, in none. */
export function reasonTone({ state }) {
  if (["unplaced", "failing", "refused", "lost"].includes(state)) return "bad";
  return ["degraded", "pending", "hibernating", "waking", "starting", "stopping"].includes(state) ? "warn" : "neutral";
}

export function sayState({ id, name = id, state, reason }) {
  return `Session ${name} is ${state}${reason === undefined ? "" : `: ${reason}`}`;
}

/** Only what a browser opens by itself, and nothing that could run in this page. */
export function isWebAddress(url) {
  return URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol);
}

/** Nobody but the box itself gets there. */
export function isOnLoopback({ address }) {
  return address === "::1" || address.startsWith("127.");
}

/** `hibernates in 4 min 3 s` */
export function idleText({ state, session, wish }, nowMs) {
  if (wish.idleTimeout === undefined) return undefined;
  const at = session?.idle?.hibernatesAt;
  if (at === undefined || !["running", "degraded"].includes(state))
    return `hibernates after ${wish.idleTimeout} unused`;
  const seconds = (Date.parse(at) - nowMs) / 1000;
  return seconds <= 0 ? "hibernates now" : `hibernates in ${secondsText(seconds)}`;
}

const SOURCES = {
  start: "its start",
  wake: "its wake",
  connection: "a connection",
  datagram: "datagrams",
  cpu: "its processor time",
  call: "a call",
};

export function usedText({ session }, nowMs) {
  if (session?.idle === undefined) return undefined;
  const { at, source } = session.idle.lastActivity;
  return `${secondsText((nowMs - Date.parse(at)) / 1000)} ago, by ${SOURCES[source] ?? source}`;
}

export function sleepText({ session }, nowMs) {
  if (session?.sleep === undefined) return undefined;
  const { depth, since, because } = session.sleep;
  const why = because === "idle" ? "nobody used it" : "it was asked to";
  return `${depth} for ${secondsText((nowMs - Date.parse(since)) / 1000)}, because ${why}`;
}

export function memoryBytesOf({ session, workload }) {
  return session?.sleep?.memoryBytes ?? session?.memoryBytes ?? workload?.rssBytes;
}

export function memoryText(view) {
  const bytes = memoryBytesOf(view);
  return bytes === undefined ? undefined : bytesText(Math.round(bytes));
}

export function cpuText({ workload }) {
  return workload?.cpuPercent === undefined ? undefined : percent(workload.cpuPercent);
}

export function connectionsText({ session }) {
  return session?.openConnections === undefined ? undefined : countText(session.openConnections, "connection");
}

/** How long its last wakes took. */
export function wakesText({ session }) {
  const told = Object.entries(session?.wakeMs ?? {}).map(
    ([depth, ms]) => `${ms < 1000 ? `${Math.round(ms)} ms` : secondsText(ms / 1000)} from ${depth}`,
  );
  return told.length === 0 ? undefined : told.join(", ");
}

const OUT_OF_MEMORY = ["oom-killed", "over-memory"];

export function exitText({ code, signal, class: kind, evidence }) {
  const word = OUT_OF_MEMORY.includes(kind) ? "out of memory" : undefined;
  return [word, signal === null ? `code ${code ?? "unknown"}` : signal, kind, evidence].filter(Boolean).join(", ");
}

/** What it runs: the image, and the words after it. */
export function programText({ template: { image, command = [], args = [] } }) {
  return [...(image === undefined ? [] : [image]), ...command, ...args].join(" ");
}

/** `8080 of the box → 80/tcp` */
export function portText({ port, protocol = "tcp", hostPort, address }) {
  const outside = hostPort === undefined ? "any free port" : `port ${hostPort}`;
  return `${outside}${address === undefined ? "" : ` on ${address}`} → ${port}/${protocol}`;
}

export function volumeText({ path, hostPath, readOnly = false, onStop = "keep" }) {
  const rules = [readOnly ? "read only" : undefined, onStop === "delete" ? "deleted at its stop" : undefined];
  return [`${hostPath === undefined ? "" : `${hostPath} of the box, `}at ${path}`, ...rules].filter(Boolean).join(", ");
}
