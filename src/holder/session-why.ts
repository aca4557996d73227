import type { Clock } from "../base/clock.ts";
import type { ProcessTable } from "../base/process-table.ts";
import { type BoxWhy, type ChannelWhy, type CommandWhy, MAX_WHY_CHANNELS } from "../contract/remote/box-why.ts";
import type { ProbeAnswer, RemoteSession, SessionVitals } from "../remote/remote-session.ts";
import type { ChannelVitals } from "../remote/vitals.ts";
import { type CommandLook, commandWhy, lookAtCommand } from "./command-why.ts";

/** What the box's side of a session knows beside the pipes of its channels. */
export interface KeptFacts {
  readonly command: KeptCommand | undefined;
  /** By channel. */
  readonly channels: ReadonlyMap<number, KeptChannel>;
}

export interface KeptCommand extends Pick<CommandWhy, "pid" | "hasExited" | "isInputOpen" | "inputBytes"> {}

export interface KeptChannel {
  readonly what: string;
  readonly openMs: number;
  readonly target?: ChannelWhy["target"];
  readonly drops?: ChannelWhy["drops"];
}

export interface SessionWhyDeps {
  readonly clock: Clock;
  readonly table: Pick<ProcessTable, "pids" | "stat">;
}

/** How long it looks on, and how often. */
const LOOK_MS = 600;
const STEP_MS = 25;
/** From the question to the operator's end until its silence means something. */
const ANSWER_MS = 3000;

/** Looks on for a moment, and asks the operator's end meanwhile. Never rejects. */
export async function lookIntoSession(
  { state, reason }: Pick<BoxWhy, "state" | "reason">,
  { session, kept }: { readonly session: RemoteSession; readonly kept: () => KeptFacts },
  deps: SessionWhyDeps,
): Promise<BoxWhy> {
  const { clock, table } = deps;
  const beganMs = clock.monotonicMs();
  const probing = session.probe();
  const before = session.vitals();
  const { command } = kept();
  const firstLook = command === undefined ? undefined : lookAtCommand(command.pid, { table });
  const shares = await watchSender(session, clock);
  const after = session.vitals();
  const tookMs = clock.monotonicMs() - beganMs;
  const last = kept();
  const lastLook = last.command === undefined ? undefined : lookAtCommand(last.command.pid, { table });
  const answer = await Promise.race([probing, clock.delay(Math.max(0, ANSWER_MS - tookMs))]);
  const waitedMs = clock.monotonicMs() - beganMs;
  return {
    state,
    ...(reason === undefined ? {} : { reason: reason.slice(0, 300) }),
    link: {
      ...linkWhy(before, after, tookMs),
      ...withRtt(session.stats().rttMs),
      ...shares,
      waitedMs: Math.round(waitedMs),
      ...(answer === undefined ? {} : { answeredMs: Math.round(answer.tookMs) }),
    },
    ...operatorWhy(answer ?? undefined),
    ...(last.command === undefined || lastLook === undefined
      ? {}
      : { command: ofCommand(last.command, firstLook ?? lastLook, lastLook, tookMs) }),
    channelCount: after.channels.length,
    channels: chooseChannels(after.channels, last.channels),
  };
}

/** A command that goes on without a session. */
export async function lookIntoDetached(command: KeptCommand, { clock, table }: SessionWhyDeps): Promise<BoxWhy> {
  const first = lookAtCommand(command.pid, { table });
  await clock.delay(LOOK_MS);
  const found = ofCommand(command, first, lookAtCommand(command.pid, { table }), LOOK_MS);
  return { state: "detached", command: found, channelCount: 0, channels: [] };
}

function ofCommand(command: KeptCommand, before: CommandLook, after: CommandLook, tookMs: number): CommandWhy {
  return commandWhy(before, after, { ...command, tookMs });
}

/** In how much of the time the sender was held by the link, and by credit. */
async function watchSender(session: RemoteSession, clock: Clock) {
  const steps = LOOK_MS / STEP_MS;
  let [full, short] = [0, 0];
  for (let step = 0; step < steps; step++) {
    await clock.delay(STEP_MS);
    const { isFlightFull, isCreditShort } = session.stats();
    if (isFlightFull) full += 1;
    if (isCreditShort) short += 1;
  }
  return { fullShare: full / steps, creditShare: short / steps };
}

function linkWhy(before: SessionVitals, after: SessionVitals, tookMs: number) {
  const { hasLink, silentMs, unackedBytes, limitBytes, ackedMs } = after;
  const perSecond = (bytesOf: (vitals: ChannelVitals) => number) => {
    const sum = ({ channels }: SessionVitals) => channels.reduce((all, channel) => all + bytesOf(channel), 0);
    return Math.round((Math.max(0, sum(after) - sum(before)) / tookMs) * 1000);
  };
  return {
    isUp: hasLink,
    silentMs: Math.round(silentMs),
    unackedBytes,
    limitBytes: Math.round(limitBytes),
    ...(ackedMs === undefined ? {} : { ackedMs: Math.round(ackedMs) }),
    toBoxPerSecond: perSecond(({ reads }) => reads.bytes),
    fromBoxPerSecond: perSecond(({ writes }) => writes.bytes),
  };
}

function operatorWhy(answer: ProbeAnswer | undefined): Pick<BoxWhy, "operator"> {
  return answer?.vitals === undefined ? {} : { operator: answer.vitals };
}

function withRtt(rttMs: number | undefined) {
  return rttMs === undefined ? {} : { rttMs: Math.round(rttMs * 10) / 10 };
}

/** Those of which the most waits; among equals those that were quiet for the longest. */
function chooseChannels(all: readonly ChannelVitals[], kept: KeptFacts["channels"]): ChannelWhy[] {
  const shown = all.flatMap((vitals): ChannelWhy[] => {
    const known = kept.get(vitals.id);
    return known === undefined ? [] : [channelWhy(vitals, known)];
  });
  const waits = ({ toBox, fromBox, target }: ChannelWhy) =>
    toBox.heldBytes + fromBox.queuedBytes + (target?.waitingBytes ?? 0);
  const quiet = ({ fromBox, openMs }: ChannelWhy) => fromBox.quietMs ?? openMs;
  return shown.sort((one, other) => waits(other) - waits(one) || quiet(other) - quiet(one)).slice(0, MAX_WHY_CHANNELS);
}

function channelWhy({ id, reads, writes }: ChannelVitals, known: KeptChannel): ChannelWhy {
  const { what, openMs, target, drops } = known;
  const quiet = (ms: number | undefined) => (ms === undefined ? {} : { quietMs: Math.round(ms) });
  return {
    id,
    what: what.slice(0, 300),
    openMs: Math.round(openMs),
    toBox: {
      bytes: reads.bytes,
      heldBytes: reads.heldBytes,
      heldMs: Math.round(reads.heldMs),
      ...quiet(reads.quietMs),
    },
    fromBox: {
      bytes: writes.bytes,
      queuedBytes: writes.queuedBytes,
      creditBytes: writes.creditBytes,
      ...quiet(writes.quietMs),
      isEnded: writes.isEnded,
    },
    ...(target === undefined ? {} : { target }),
    ...(drops === undefined ? {} : { drops }),
  };
}
