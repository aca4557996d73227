import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import type { Clock, Timer } from "../base/clock.ts";
import type { Channel } from "../remote/channel.ts";

export const MAX_FLOWS = 1024;
const IDLE_MS = 60_000;
/** One question, one answer. */
const DNS_IDLE_MS = 10_000;
const SOCKET_BUFFER_BYTES = 1024 * 1024;
export const MAX_DATAGRAM_BYTES = 65_507;

export interface UdpCounts {
  /** Datagrams that did not get here, as the other end told. */
  lostBefore: number;
  /** That could not be sent on: too large, no route, no room. */
  notSent: number;
  /** Flows that gave way to newer ones. */
  evicted: number;
}

/** What the channel's owner hands in before it accepts. */
export interface UdpForward {
  readonly counts: Readonly<UdpCounts>;
  take(flow: number, bytes: Uint8Array, droppedBefore: number): void;
  close(): void;
}

interface Flow {
  readonly socket: Socket;
  usedMs: number;
}

/** Each flow has a socket of its own, connected to the one address: answers from elsewhere do not come in. */
export function createUdpForward(
  channel: Pick<Channel, "sendDatagram">,
  { address, port }: { readonly address: string; readonly port: number },
  clock: Clock,
): UdpForward {
  const flows = new Map<number, Flow>();
  const counts: UdpCounts = { lostBefore: 0, notSent: 0, evicted: 0 };
  const idleMs = port === 53 ? DNS_IDLE_MS : IDLE_MS;
  let timer: Timer | undefined;
  let isClosed = false;

  const drop = (id: number) => {
    const flow = flows.get(id);
    if (flows.delete(id)) flow?.socket.close();
  };
  /** The first is the one that was not used for the longest. */
  const sweep = () => {
    timer = undefined;
    for (const [id, { usedMs }] of flows) {
      const leftMs = usedMs + idleMs - clock.monotonicMs();
      if (leftMs > 0) {
        timer = clock.timer(leftMs, sweep);
        return;
      }
      drop(id);
    }
  };
  const touch = (id: number, flow: Flow) => {
    flow.usedMs = clock.monotonicMs();
    flows.delete(id);
    flows.set(id, flow);
    timer ??= clock.timer(idleMs, sweep);
  };
  const open = (id: number): Flow => {
    const oldest = flows.size >= MAX_FLOWS ? flows.keys().next().value : undefined;
    if (oldest !== undefined) {
      counts.evicted += 1;
      drop(oldest);
    }
    const socket = createSocket({
      type: isIP(address) === 6 ? "udp6" : "udp4",
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    });
    const flow = { socket, usedMs: clock.monotonicMs() };
    socket.on("message", (bytes) => {
      if (flows.get(id) !== flow) return;
      touch(id, flow);
      channel.sendDatagram(id, bytes);
    });
    // Nothing listens there, or the way is closed: a datagram is lost, as datagrams are.
    socket.on("error", () => {
      counts.notSent += 1;
      if (!isConnected(socket)) drop(id);
    });
    socket.connect(port, address);
    return flow;
  };

  return {
    counts,
    take: (id, bytes, droppedBefore) => {
      counts.lostBefore += droppedBefore;
      if (isClosed) return;
      const flow = flows.get(id) ?? open(id);
      touch(id, flow);
      const send = () => {
        if (flows.get(id) !== flow) return;
        flow.socket.send(bytes, (error) => {
          if (error !== null) counts.notSent += 1;
        });
      };
      if (isConnected(flow.socket)) send();
      else flow.socket.once("connect", send);
    },
    close: () => {
      isClosed = true;
      timer?.clear();
      for (const id of [...flows.keys()]) drop(id);
    },
  };
}

function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}
