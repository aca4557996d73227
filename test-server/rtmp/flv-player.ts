import type { ServerResponse } from "node:http";
import type { Nms, NmsConfig } from "./nms.ts";

/** A viewer that does not read (a frozen tab) is cut instead of being buffered for. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/** Sends a publisher's media as FLV over HTTP until it or the viewer ends. The publisher must be there. */
export function playAsFlv(nms: Nms, config: NmsConfig, play: { path: string; response: ServerResponse }): void {
  const { path, response } = play;
  const { socket } = response;
  if (socket === null) return;
  response.writeHead(200, { "content-type": "video/x-flv", "cache-control": "no-store" });
  const isOpen = () => !response.destroyed && !response.writableEnded;
  const sink = {
    socket,
    cork: () => response.cork(),
    uncork: () => response.uncork(),
    write: (bytes: Buffer) => {
      if (!isOpen()) return;
      response.write(bytes);
      if (response.writableLength > MAX_WAITING_BYTES) response.destroy();
    },
    end: () => {
      if (isOpen()) response.end();
    },
  };
  const request = {
    method: "GET",
    url: path,
    nmsConnectionType: "http",
    socket,
    on: (event: "error", listener: () => void) => response.on(event, listener),
  } as const;
  const session = new nms.FlvSession(config, request, sink);
  // Its `run` cuts the path at the first dot, and a key may hold dots: the same steps with the path as it is.
  session.isStarting = true;
  session.playStreamPath = path;
  session.playArgs = {};
  session.onPlay();
}
