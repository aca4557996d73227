import type { RemoteInfo, Socket } from "node:dgram";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Channel } from "../../remote/channel.ts";
import { createFlowTable } from "./flow-table.ts";
import { formatPlace } from "./forward-spec.ts";

export interface UdpCounts {
  toBox: number;
  fromBox: number;
  /** Had no room on their way to the box, or no link. */
  droppedToBox: number;
  /** Had no room on their way from the box. */
  droppedFromBox: number;
  /** Came while there was no session. */
  droppedHere: number;
  /** Answers to a peer that was quiet for too long, or had to make room. */
  unclaimed: number;
}

export interface UdpForwardDeps {
  readonly open: (what: {
    readonly kind: "associate";
    readonly host: string;
    readonly port: number;
  }) => Promise<Channel>;
  readonly clock: Clock;
  readonly tell: (line: string) => void;
  readonly counts: UdpCounts;
}

export function createUdpCounts(): UdpCounts {
  return { toBox: 0, fromBox: 0, droppedToBox: 0, droppedFromBox: 0, droppedHere: 0, unclaimed: 0 };
}

/** Joins a local socket with one association on the box; a flow for each peer. Another association takes the place of one that is lost. */
export function joinUdp(
  socket: Socket,
  place: { readonly host: string; readonly port: number },
  { open, clock, tell, counts }: UdpForwardDeps,
): void {
  const flows = createFlowTable<RemoteInfo>(({ address, port }) => formatPlace(address, port));
  let channel: Channel | undefined;
  let isOpening = false;
  let lastProblem: string | undefined;

  const connect = async () => {
    isOpening = true;
    try {
      const made = await open({ kind: "associate", ...place });
      made.on({
        onDatagram: (flow, bytes, droppedBefore) => {
          counts.droppedFromBox += droppedBefore;
          const peer = flows.peerOf(flow, clock.monotonicMs());
          if (peer === undefined) {
            counts.unclaimed += 1;
            return;
          }
          counts.fromBox += 1;
          socket.send(bytes, peer.port, peer.address, () => undefined);
        },
      });
      await made.opened;
      channel = made;
      lastProblem = undefined;
      void made.closed.then(() => {
        if (channel === made) channel = undefined;
      });
    } catch (thrown) {
      const problem = messageOf(thrown);
      if (problem !== lastProblem) tell(`${formatPlace(place.host, place.port)}/udp cannot be reached: ${problem}`);
      lastProblem = problem;
    } finally {
      isOpening = false;
    }
  };

  socket.on("message", (bytes, peer) => {
    if (channel === undefined) {
      counts.droppedHere += 1;
      if (!isOpening) void connect();
      return;
    }
    if (channel.sendDatagram(flows.flowOf(peer, clock.monotonicMs()), bytes)) counts.toBox += 1;
    else counts.droppedToBox += 1;
  });
  void connect();
}

/** One line; undefined when no datagram went either way. */
export function describeCounts(counts: UdpCounts): string | undefined {
  const { toBox, fromBox, droppedToBox, droppedFromBox, droppedHere, unclaimed } = counts;
  if (toBox + fromBox + droppedToBox + droppedFromBox + droppedHere === 0) return undefined;
  const drops = `dropped: ${droppedToBox} to the box and ${droppedFromBox} from it for want of room, ${droppedHere} without a session, ${unclaimed} to nobody`;
  return `datagrams: ${toBox} to the box, ${fromBox} from it; ${drops}`;
}
