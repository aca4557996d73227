import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { RouterWhy, Verdict } from "../../contract/fleet/remote-why.ts";
import type { BoxWhy, ChannelWhy, CommandWhy } from "../../contract/remote/box-why.ts";
import type { Remote } from "./remote-record.ts";

export interface WhyFacts {
  readonly remote: Pick<Remote, "state" | "reason" | "box" | "operator">;
  readonly connection: BoxConnection;
  readonly router: RouterWhy | undefined;
  readonly onBox: BoxWhy | undefined;
}

export interface VerdictOf {
  readonly verdict: Verdict;
  readonly sentence: string;
}

type Link = NonNullable<BoxWhy["link"]>;

/** What moved within this time is not held up. */
const MOMENT_MS = 1000;
/** A router's reader that takes nothing for so long is frozen, or its connection is. */
const STALLED_MS = 2000;
/** Of the look: it was so most of the time. */
const MOSTLY = 0.5;
/** Of one processor. */
const BUSY_CPUS = 0.05;

/** Pure. What holds a session up, by all that is known of it. What is certain comes first, and what only seems so last. */
export function decideVerdict(facts: WhyFacts): VerdictOf {
  const { remote, onBox } = facts;
  if (remote.state === "ended") return is("ended", `it is over: ${remote.reason}`);
  if (onBox?.state === "detached") return ofDetached(onBox);
  if (remote.state === "waiting") return ofMeeting(facts);
  if (remote.state === "broken") {
    return is("link-dead", `${remote.reason}; both ends may join again`);
  }
  if (onBox?.link === undefined) return ofAway(facts);
  return ofLink(onBox, onBox.link, facts) ?? ofOutput(onBox, onBox.link) ?? ofInput(onBox, onBox.link) ?? ofRest(onBox);
}

function is(verdict: Verdict, sentence: string): VerdictOf {
  return { verdict, sentence };
}

function ofDetached({ command }: BoxWhy): VerdictOf {
  const rest = command === undefined ? "" : `; ${describeCommand(command)}`;
  return is("detached", `the command goes on by itself, and nobody is attached to it${rest}`);
}

function ofMeeting({ remote: { box, operator }, connection, router }: WhyFacts): VerdictOf {
  if (router?.sides?.includes("box") === true) {
    return is("waiting-for-operator", `box ${box} waits at the router, and the program of ${operator} has not come`);
  }
  const state = connection === "online" ? "" : `, and the box is ${connection}`;
  return is("waiting-for-box", `box ${box} has not come to the router${state}`);
}

/** Nobody on the box tells anything: the router still may. */
function ofAway({ remote: { box, operator }, connection, router }: WhyFacts): VerdictOf {
  const stalled = router === undefined ? undefined : stalledOf(router);
  if (stalled !== undefined) return ofStalled(stalled, { box, operator });
  return is("unknown", `box ${box} is ${connection} and tells nothing: what holds the session up is not known`);
}

interface Stalled {
  readonly side: "operator" | "box";
  readonly ms: number;
}

function stalledOf({ operatorStalledMs, boxStalledMs }: RouterWhy): Stalled | undefined {
  if (operatorStalledMs >= STALLED_MS) return { side: "operator", ms: operatorStalledMs };
  return boxStalledMs >= STALLED_MS ? { side: "box", ms: boxStalledMs } : undefined;
}

function ofStalled({ side, ms }: Stalled, { box, operator }: Pick<Remote, "box" | "operator">): VerdictOf {
  const who = side === "operator" ? `the program of ${operator}` : `box ${box}`;
  return is(
    "link-dead",
    `${who} has taken nothing from the router for ${seconds(ms)}: it is frozen, or its connection is dead`,
  );
}

/** The way between the ends: dead, or full. */
function ofLink({ state, reason }: BoxWhy, link: Link, facts: WhyFacts): VerdictOf | undefined {
  const { box, operator } = facts.remote;
  if (!link.isUp) {
    const why = reason === undefined ? `its session is ${state}` : reason;
    return is("link-dead", `box ${box} has no connection to the operator's end: ${why}`);
  }
  const isAcknowledged = link.ackedMs !== undefined && link.ackedMs < MOMENT_MS;
  const moves = link.toBoxPerSecond > 0 || isAcknowledged;
  if (link.answeredMs === undefined && !moves) {
    const stalled = facts.router === undefined ? undefined : stalledOf(facts.router);
    if (stalled !== undefined) return ofStalled(stalled, facts.remote);
    const silent = seconds(Math.max(link.silentMs, link.waitedMs));
    return is(
      "link-dead",
      `the program of ${operator} does not answer, and has said nothing for ${silent}: its connection is dead, or it is frozen`,
    );
  }
  if (link.fullShare >= MOSTLY) {
    const rate = `${bytes(link.fromBoxPerSecond)}/s`;
    return is(
      "link-saturated",
      `the link from box ${box} carries ${rate} and no more: ${bytes(link.unackedBytes)} are under way`,
    );
  }
  return undefined;
}

/** What the command or a target has said, and the operator's end does not have. */
function ofOutput({ operator, command, channels }: BoxWhy, link: Link): VerdictOf | undefined {
  const held = operator?.heldBytes ?? 0;
  const queued = channels.reduce((sum, { fromBox }) => sum + fromBox.queuedBytes, 0);
  if (link.creditShare >= MOSTLY && queued > 0) {
    const isRead = operator !== undefined && operator.heldMs < MOMENT_MS && held === 0;
    if (isRead) {
      return is(
        "waiting-for-credit",
        `${bytes(queued)} wait for credit: the operator's end reads, and has no room for more`,
      );
    }
    const rest =
      held > 0 ? `; ${bytes(held)} lie there, and nothing of it was taken for ${seconds(operator?.heldMs ?? 0)}` : "";
    if (link.fromBoxPerSecond > 0) {
      return is(
        "waiting-for-reader",
        `the operator's end reads ${bytes(link.fromBoxPerSecond)}/s, and more could come${rest}`,
      );
    }
    return is(
      "waiting-for-reader",
      `nobody reads the output at the operator's end: ${bytes(queued)} wait on the box${rest}`,
    );
  }
  if (command?.hasExited === true) {
    const [channel] = channels;
    if (channel !== undefined && !channel.fromBox.isEnded && queued === 0) {
      return is("waiting-for-process", "the command has ended, and what it has started still holds its output");
    }
    const rest = held > 0 ? `: ${bytes(held)} of its output lie at the operator's end` : "";
    return is("waiting-for-reader", `the command has ended, and its reader has not taken all of it${rest}`);
  }
  return undefined;
}

/** What the operator has sent, and the command or a target has not taken. */
function ofInput({ operator, command, channels }: BoxWhy, link: Link): VerdictOf | undefined {
  const stuck = channels.find(({ toBox, target }) => toBox.heldMs >= MOMENT_MS || (target?.waitingBytes ?? 0) > 0);
  const inputBytes = command?.inputBytes ?? 0;
  const waiting = (stuck?.toBox.heldBytes ?? 0) + (stuck?.target?.waitingBytes ?? 0) + inputBytes;
  if (waiting > 0 && link.toBoxPerSecond === 0) {
    if (stuck?.target !== undefined) {
      return is("target-silent", `${stuck.what} takes nothing more: ${bytes(waiting)} wait for it`);
    }
    const doing = command === undefined ? "" : `: ${describeCommand(command)}`;
    return is("waiting-for-process", `the command does not read its input, of which ${bytes(waiting)} wait${doing}`);
  }
  if (operator !== undefined && operator.queuedBytes > 0 && operator.unackedBytes > 0 && waiting === 0) {
    return is(
      "link-saturated",
      `the link to the box carries ${bytes(link.toBoxPerSecond)}/s and no more: ${bytes(operator.queuedBytes)} wait at the operator's end`,
    );
  }
  if (link.toBoxPerSecond > 0 || link.fromBoxPerSecond > 0) {
    return is(
      "moving",
      `bytes move: ${bytes(link.toBoxPerSecond)}/s to the box, ${bytes(link.fromBoxPerSecond)}/s from it`,
    );
  }
  return undefined;
}

/** The link lives and nothing is under way: somebody thinks. */
function ofRest({ command, channels, channelCount }: BoxWhy): VerdictOf {
  if (command !== undefined) {
    const isInput = command.readsInput === true && command.isInputOpen;
    return is(isInput ? "waiting-for-input" : "waiting-for-process", describeCommand(command));
  }
  const silent = channels.find(isSilent);
  if (silent?.target !== undefined) {
    const { bytes: taken, quietMs } = silent.target;
    const since =
      quietMs === undefined ? `since it was dialled ${seconds(silent.openMs)} ago` : `for ${seconds(quietMs)}`;
    const others = channelCount > 1 ? ` (one of ${channelCount} connections)` : "";
    return is("target-silent", `${silent.what} has taken ${bytes(taken)} and said nothing ${since}${others}`);
  }
  const open = channelCount === 0 ? "nothing is open in it" : `${channelCount} open, and neither side says anything`;
  return is("idle", `nothing waits: ${open}`);
}

/** It was spoken to last, or has never said anything, and that not just now. */
function isSilent({ target, toBox, fromBox, openMs }: ChannelWhy): boolean {
  if (target === undefined || fromBox.isEnded || openMs < MOMENT_MS) return false;
  if (target.quietMs === undefined) return true;
  return toBox.quietMs !== undefined && toBox.quietMs < target.quietMs && toBox.quietMs >= MOMENT_MS;
}

function describeCommand(command: CommandWhy): string {
  const { pid, state, cpus, sleepsIn, readsInput, isInputOpen, processes } = command;
  const who = processes > 1 ? `the command (process ${pid}, ${processes} in all)` : `the command (process ${pid})`;
  if (readsInput === true && isInputOpen) return `${who} waits for its standard input`;
  if (cpus >= BUSY_CPUS) return `${who} computes (${cpus} processors) and says nothing`;
  const at = sleepsIn === undefined ? "" : ` in ${sleepsIn}`;
  switch (state) {
    case "stopped":
      return `${who} is stopped by a signal (SIGCONT lets it go on)`;
    case "uninterruptible":
      return `${who} waits for the kernel${at}: a disk, a device or a network file system`;
    case "runs":
      return `${who} runs and says nothing`;
    case "gone":
      return `${who} has no process left`;
    case "sleeps":
      return `${who} sleeps${at} and says nothing`;
  }
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

function bytes(count: number): string {
  if (count < 10_000) return `${count} bytes`;
  return count < 1_000_000 ? `${Math.round(count / 1000)} kB` : `${(count / 1_000_000).toFixed(1)} MB`;
}
