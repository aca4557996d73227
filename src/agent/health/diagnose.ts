import type { HealthCause } from "../../contract/health-cause.ts";
import type { Finding } from "./finding.ts";
import { type MediaHealth, ratesOf } from "./media-health.ts";
import type { ProcessHealth } from "./process-health.ts";
import { type SocketHealth, stuckSocket, type WatchedSocket } from "./socket-health.ts";

/** What a diagnosis must know of the workload itself. */
export interface HealthLimits {
  readonly startDeadlineMs: number;
  /** Counters that stand still for this long mean a stall. */
  readonly stallMs: number;
  /** The same, where the source sends in bursts (playlists). */
  readonly sourceStallMs: number;
  /** How often health is observed. */
  readonly periodMs: number;
  /** More than one output: the first leads, and each of the others recovers by itself inside the process. */
  readonly hasFollowers: boolean;
  /** Every output is a file on this box. */
  readonly writesFilesOnly: boolean;
}

/** The three witnesses. */
export interface Witnesses {
  readonly media: MediaHealth;
  readonly sockets: SocketHealth;
  readonly process: ProcessHealth;
}

/**
 * Nothing acknowledged for the first of these is named, for the second given up. A named stall shows within four seconds and a tick, after the buffers on its way are full;
 * a network that comes back in between costs nothing, because what was not acknowledged is sent again.
 */
const NAMED_MS = 3000;
const STUCK_MS = 6000;
const STOPPED_MS = 5000;
/** Media seconds a second below which a live stream falls behind: far behind soon, a little behind later. */
const VERY_SLOW = { speed: 0.8, forMs: 6000 };
const SLOW_FOR_MS = 60_000;
/** Share of a core from which on a silent process is at work, and not waiting. */
const BUSY_SHARE = 0.5;
/** One that is busy and makes nothing for this long will not come round. */
const LIVELOCK_MS = 60_000;

/**
 * The truth table. Who is to blame is read from the lowest layer that shows anything: a stopped process explains a full
 * socket, and a full socket explains counters that stand still.
 */
export function diagnose({ media, sockets, process }: Witnesses, limits: HealthLimits): Finding | undefined {
  const stopped = diagnoseStopped(process, limits);
  if (stopped !== undefined) return stopped;
  if (!media.hasMoved) return startFinding(media, sockets, limits);
  const isIdle = media.idleMs >= limits.stallMs;
  const stuck = stuckConnection(sockets, isIdle ? 1 : NAMED_MS);
  if (stuck !== undefined) {
    if (isIdle) return restart(stuck.cause, stuck.text);
    if (limits.hasFollowers) return wait(stuck.cause, `one of its outputs: ${stuck.text}; it recovers by itself`);
    return { cause: stuck.cause, message: stuck.text, needsRestart: stuck.forMs >= STUCK_MS };
  }
  if (isIdle) return idleFinding({ media, sockets, process }, limits);
  return slowFinding(media, sockets);
}

/** The same of every kind of workload. */
export function diagnoseStopped(
  { stoppedMs }: Pick<ProcessHealth, "stoppedMs">,
  { stallMs }: Pick<HealthLimits, "stallMs">,
): Finding | undefined {
  if (stoppedMs < Math.min(STOPPED_MS, stallMs)) return undefined;
  return restart("stopped", `its process has been stopped by a signal for ${seconds(stoppedMs)}`);
}

function startFinding(media: MediaHealth, { sockets }: SocketHealth, limits: HealthLimits): Finding | undefined {
  if (media.idleMs < limits.startDeadlineMs) return undefined;
  const opening = sockets.find(({ isConnecting }) => isConnecting);
  const silent = sockets.find(({ isEstablished }) => isEstablished);
  const where =
    opening !== undefined
      ? `; ${opening.remote} does not answer the connection`
      : silent !== undefined
        ? `; connected to ${silent.remote}, which sends or takes no media`
        : "";
  return restart("connecting-timeout", `no media ${seconds(media.idleMs)} after the start${where}`);
}

function stuckConnection(
  sockets: SocketHealth,
  thresholdMs: number,
): { readonly cause: HealthCause; readonly text: string; readonly forMs: number } | undefined {
  const unanswered = stuckSocket(sockets, "unansweredMs");
  if (unanswered !== undefined && unanswered.unansweredMs >= thresholdMs) {
    const { retransmits, unansweredProbes } = unanswered;
    const times = retransmits > 0 ? count(retransmits, "retransmit") : count(unansweredProbes, "unanswered probe");
    const forMs = unanswered.unansweredMs;
    return { cause: "network-lost", text: `${unacked(unanswered, forMs)}, ${times}`, forMs };
  }
  const shut = stuckSocket(sockets, "windowShutMs");
  if (shut !== undefined && shut.windowShutMs >= thresholdMs) {
    const forMs = shut.windowShutMs;
    return { cause: "peer-stalled", text: `${unacked(shut, forMs)}; it keeps its window shut`, forMs };
  }
  return undefined;
}

function idleFinding({ media, sockets, process }: Witnesses, limits: HealthLimits): Finding | undefined {
  const silence = `no media for ${seconds(media.idleMs)}`;
  if (process.blockedMs >= limits.stallMs / 2) {
    const where = process.waitsIn === undefined ? "" : ` in ${process.waitsIn}`;
    return wait("disk-blocked", `${silence}; the kernel has held it for ${seconds(process.blockedMs)}${where}`);
  }
  if ((process.cpuShare ?? 0) >= BUSY_SHARE) {
    const cores = `it uses ${(process.cpuShare ?? 0).toFixed(1)} cores`;
    const isLost = media.idleMs >= LIVELOCK_MS;
    return { cause: "encoder-slow", message: `${silence} while ${cores}`, needsRestart: isLost };
  }
  const backlog = stuckSocket(sockets, "backlogMs");
  if (backlog !== undefined && backlog.backlogMs >= limits.stallMs / 2) {
    return restart("peer-stalled", `${silence}; ${unacked(backlog, backlog.backlogMs)}`);
  }
  const unread = sockets.sockets.reduce((sum, { unreadBytes }) => sum + unreadBytes, 0);
  if (unread > 0) {
    const text = `${silence}; ${bytes(unread)} of its source wait unread`;
    if (limits.writesFilesOnly) return wait("disk-blocked", `${text}: its disk takes nothing`);
    return restart("peer-stalled", `${text}: its output takes nothing`);
  }
  if (media.idleMs < limits.sourceStallMs) return undefined;
  const from = sockets.sockets.find(({ isEstablished, unackedBytes }) => isEstablished && unackedBytes === 0);
  const text = from === undefined ? "its source sends nothing" : "its connections stand, its source sends nothing";
  return restart("source-stalled", `${silence}; ${text}`);
}

function slowFinding(media: MediaHealth, sockets: SocketHealth): Finding | undefined {
  const speed = ratesOf(media.window).speed ?? 1;
  const isVerySlow = media.slowMs >= VERY_SLOW.forMs && speed < VERY_SLOW.speed;
  if (!isVerySlow && media.slowMs < SLOW_FOR_MS) return undefined;
  const slow = `slower than real time (speed ${speed.toFixed(2)})`;
  const backlog = stuckSocket(sockets, "backlogMs");
  if (backlog !== undefined && backlog.backlogMs >= Math.min(media.slowMs, STUCK_MS)) {
    return wait("network-slow", `${slow}; ${bytes(backlog.unackedBytes)} wait to reach ${backlog.remote}`);
  }
  return wait("encoder-slow", `${slow}; a restart would not help`);
}

function restart(cause: HealthCause, message: string): Finding {
  return { cause, message, needsRestart: true };
}

function wait(cause: HealthCause, message: string): Finding {
  return { cause, message, needsRestart: false };
}

function unacked({ unackedBytes, remote }: WatchedSocket, ms: number): string {
  return `${bytes(unackedBytes)} unacknowledged by ${remote} for ${seconds(ms)}`;
}

function bytes(amount: number): string {
  if (amount < 1000) return `${amount} B`;
  return amount < 1_000_000 ? `${Math.round(amount / 1000)} kB` : `${(amount / 1_000_000).toFixed(1)} MB`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}
