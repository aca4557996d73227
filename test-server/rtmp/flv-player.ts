import type { Socket } from "node:net";
import type { Nms, NmsConfig } from "./nms.ts";

/** A viewer that does not read (a frozen tab) is cut instead of being buffered for. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/** Where FLV is sent to: an HTTP response or a WebSocket. */
export interface FlvViewer {
  /** Its `close` event ends the playing. */
  readonly socket: Socket;
  isOpen(): boolean;
  write(bytes: Buffer): void;
  waitingBytes(): number;
  end(): void;
  /** At once, without what waits. */
  cut(): void;
}

/** Sends a publisher's media as FLV until it or the viewer ends. The publisher must be there. */
export function playAsFlv(nms: Nms, config: NmsConfig, play: { path: string; viewer: FlvViewer }): void {
  const { path, viewer } = play;
  const { socket } = viewer;
  const sink = {
    // NMS corks the socket for ten packets at a time, and would hold back the end with them.
    socket: { cork: () => undefined, uncork: () => undefined },
    write: (bytes: Buffer) => {
      if (!viewer.isOpen()) return;
      viewer.write(bytes);
      if (viewer.waitingBytes() > MAX_WAITING_BYTES) viewer.cut();
    },
    end: () => {
      if (viewer.isOpen()) viewer.end();
    },
  };
  const request = {
    method: "GET",
    url: path,
    nmsConnectionType: "http",
    socket,
    on: (event: "error", listener: () => void) => socket.on(event, listener),
  } as const;
  const session = new nms.FlvSession(config, request, sink);
  // Its `run` cuts the path at the first dot, and a key may hold dots: the same steps with the path as it is.
  session.isStarting = true;
  session.playStreamPath = path;
  session.playArgs = {};
  session.onPlay();
}
