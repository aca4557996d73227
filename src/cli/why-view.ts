import { oneLine } from "../base/log.ts";
import type { RemoteWhyView, RouterWhy, Verdict } from "../contract/fleet/remote-why.ts";
import type { BoxWhy, ChannelWhy, CommandWhy } from "../contract/remote/box-why.ts";
import { describeOperation } from "../contract/remote/operation.ts";
import { formatBytes, formatDuration } from "./duration.ts";
import type { View } from "./output.ts";
import type { Tone } from "./paint.ts";

/** Where it was seen, and what. */
type Evidence = readonly [where: string, what: string];

const GOOD: ReadonlySet<Verdict> = new Set(["moving", "idle", "ended", "detached"]);
const BAD: ReadonlySet<Verdict> = new Set(["link-dead", "unknown"]);

/** The verdict, its sentence, and below it all that it rests on. */
export function renderWhy(why: RemoteWhyView, { paint }: View): string {
  const { verdict, sentence, id, box, operator, operation, missing } = why;
  const tone: Tone = GOOD.has(verdict) ? "good" : BAD.has(verdict) ? "bad" : "warn";
  const rows: Evidence[] = [
    ["session", `${id}, ${operator} on ${box}: ${describeOperation(operation)}`],
    ...routerRows(why.router),
    ...boxRows(why.onBox),
    ...missing.map((text): Evidence => ["unknown", text]),
  ];
  const lines = rows.map(([where, what]) => `  ${where.padEnd(9)} ${oneLine(what)}\n`);
  return `${paint(tone, verdict)}: ${oneLine(sentence)}\n${lines.join("")}`;
}

function routerRows(router: RouterWhy | undefined): Evidence[] {
  if (router === undefined) return [];
  const sideOf = (name: string, quietMs: number, stalledMs: number) =>
    `${name} said something ${ago(quietMs)}${stalledMs > 0 ? ` and has taken nothing for ${time(stalledMs)}` : ""}`;
  const { id, operatorQuietMs, operatorStalledMs, boxQuietMs, boxStalledMs, sides } = router;
  const both = [
    sides?.includes("operator") === false
      ? "the operator is not here"
      : sideOf("the operator", operatorQuietMs, operatorStalledMs),
    sides?.includes("box") === false ? "the box is not here" : sideOf("the box", boxQuietMs, boxStalledMs),
  ];
  return [["router", `${id}: ${both.join("; ")}`]];
}

function boxRows(onBox: BoxWhy | undefined): Evidence[] {
  if (onBox === undefined) return [];
  const { link, operator, command, channels, channelCount, state, reason } = onBox;
  const rows: Evidence[] = [["box", `the session is ${state}${reason === undefined ? "" : `: ${reason}`}`]];
  if (link !== undefined) rows.push(...linkRows(link));
  if (operator !== undefined) {
    const { queuedBytes, unackedBytes, heldBytes, heldMs } = operator;
    const held = heldBytes === 0 ? "nothing" : `${formatBytes(heldBytes)}, since ${time(heldMs)}`;
    rows.push([
      "operator",
      `to be read ${held}; to be sent ${formatBytes(queuedBytes)}, under way ${formatBytes(unackedBytes)}`,
    ]);
  }
  if (command !== undefined) rows.push(["command", commandText(command)]);
  rows.push(...channels.flatMap(channelRows));
  if (channelCount > channels.length) rows.push(["channel", `${channelCount - channels.length} more`]);
  return rows;
}

function linkRows(link: NonNullable<BoxWhy["link"]>): Evidence[] {
  if (!link.isUp) return [["link", "down"]];
  const answer =
    link.answeredMs === undefined
      ? `the operator's end has not answered within ${time(link.waitedMs)}`
      : `the operator's end answers in ${time(link.answeredMs)}`;
  const trip = link.rttMs === undefined ? "" : `, shortest round trip ${time(link.rttMs)}`;
  const acked = link.ackedMs === undefined ? "" : `, last acknowledged ${ago(link.ackedMs)}`;
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  return [
    ["link", `${answer}${trip}`],
    ["link", `${formatBytes(link.unackedBytes)} of ${formatBytes(link.limitBytes)} under way from the box${acked}`],
    [
      "link",
      `${formatBytes(link.toBoxPerSecond)}/s to the box, ${formatBytes(link.fromBoxPerSecond)}/s from it; waited for the link ${percent(link.fullShare)} of the time, for credit ${percent(link.creditShare)}`,
    ],
  ];
}

function commandText(command: CommandWhy): string {
  const { pid, processes, state, cpus, sleepsIn, readsInput, isInputOpen, inputBytes, hasExited } = command;
  const input = !isInputOpen
    ? "its input has ended"
    : readsInput === undefined
      ? "its input is open"
      : readsInput
        ? "it waits for its input"
        : "it does not wait for its input";
  const parts = [
    `process ${pid}${hasExited ? " has ended" : ""}, ${processes} live`,
    `${state}${sleepsIn === undefined ? "" : ` in ${sleepsIn}`}`,
    `${cpus} processors`,
    input,
    ...(inputBytes > 0 ? [`${formatBytes(inputBytes)} of it not read`] : []),
  ];
  return parts.join(", ");
}

function channelRows({ what, openMs, toBox, fromBox, target, drops }: ChannelWhy): Evidence[] {
  const quiet = (ms: number | undefined) => (ms === undefined ? "never" : ago(ms));
  const held = toBox.heldBytes > 0 ? `, ${formatBytes(toBox.heldBytes)} not taken` : "";
  const queued =
    fromBox.queuedBytes > 0
      ? `, ${formatBytes(fromBox.queuedBytes)} wait with credit for ${formatBytes(fromBox.creditBytes)}`
      : "";
  const rows: Evidence[] = [
    [
      "channel",
      `${what}, open for ${time(openMs)}: ${formatBytes(toBox.bytes)} came (${quiet(toBox.quietMs)})${held}; ${formatBytes(fromBox.bytes)} went (${quiet(fromBox.quietMs)})${queued}`,
    ],
  ];
  if (target !== undefined) {
    const waits = target.waitingBytes > 0 ? `, ${formatBytes(target.waitingBytes)} wait for it` : "";
    rows.push([
      "target",
      `took ${formatBytes(target.bytes)}${waits}; said ${formatBytes(target.saidBytes)} (${quiet(target.quietMs)})`,
    ]);
  }
  if (drops !== undefined) {
    const { lostBefore, notSent, evicted } = drops;
    rows.push([
      "datagrams",
      `${lostBefore} lost on the way to the box, ${notSent} not sent on there, ${evicted} flows gave way`,
    ]);
  }
  return rows;
}

function time(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : formatDuration(ms / 1000);
}

function ago(ms: number): string {
  return `${time(ms)} ago`;
}
