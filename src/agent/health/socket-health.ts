import type { TcpSocket } from "../../base/tcp-table.ts";

/**
 * What the kernel says of a process's own connections over time. Pure.
 *
 * Invariants:
 * - a connection counts as stuck only while nothing at all is acknowledged: any drop of its queue starts anew;
 * - time is counted as the caller counts it, so that its own sleep is held against nobody;
 * - a connection that is still being opened is never stuck: the deadline of the start is its limit.
 */
export interface SocketHealth {
  readonly sockets: readonly WatchedSocket[];
}

export interface WatchedSocket extends TcpSocket {
  /** Counted time in which the peer kept its window shut and took nothing. */
  readonly windowShutMs: number;
  /** Counted time in which the peer answered nothing that was sent to it. */
  readonly unansweredMs: number;
  /** Counted time in which bytes waited to be acknowledged, whatever the reason. */
  readonly backlogMs: number;
}

export const NO_SOCKETS: SocketHealth = { sockets: [] };

export function observeSockets(
  health: SocketHealth,
  sockets: readonly TcpSocket[] | undefined,
  countedMs: number,
): SocketHealth {
  if (sockets === undefined || (sockets.length === 0 && health.sockets.length === 0)) return NO_SOCKETS;
  const before = new Map(health.sockets.map((socket) => [socket.inode, socket]));
  return { sockets: sockets.map((socket) => watch(before.get(socket.inode), socket, countedMs)) };
}

/** One of its connections is in a state that will be a stall if it lasts. */
export function isStrained({ sockets }: SocketHealth): boolean {
  return sockets.some((socket) => isShut(socket) || isSilentPeer(socket));
}

function watch(last: WatchedSocket | undefined, socket: TcpSocket, countedMs: number): WatchedSocket {
  const isSame = last !== undefined && last.remote === socket.remote;
  const tookNothing = isSame && last.unackedBytes > 0 && socket.unackedBytes >= last.unackedBytes;
  return {
    ...socket,
    windowShutMs: tookNothing && isShut(last) && isShut(socket) ? last.windowShutMs + countedMs : 0,
    unansweredMs: tookNothing && isSilentPeer(last) && isSilentPeer(socket) ? last.unansweredMs + countedMs : 0,
    backlogMs: isSame && last.unackedBytes > 0 && socket.unackedBytes > 0 ? last.backlogMs + countedMs : 0,
  };
}

function isShut({ timer, unackedBytes }: TcpSocket): boolean {
  return timer === "probe" && unackedBytes > 0;
}

/** One lost segment is nothing; a second repetition of it means that the first was not answered either. */
function isSilentPeer({ timer, retransmits, unansweredProbes, isConnecting, unackedBytes }: TcpSocket): boolean {
  if (isConnecting || unackedBytes === 0) return false;
  return (timer === "retransmit" && retransmits >= 1) || (timer === "probe" && unansweredProbes >= 2);
}

/** The connection that has been stuck longest, of those that are. */
export function stuckSocket(
  { sockets }: SocketHealth,
  measure: "windowShutMs" | "unansweredMs" | "backlogMs",
): WatchedSocket | undefined {
  return sockets.reduce<WatchedSocket | undefined>(
    (worst, socket) => (socket[measure] > (worst?.[measure] ?? 0) ? socket : worst),
    undefined,
  );
}
