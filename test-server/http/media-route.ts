import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { AppError } from "../../src/base/errors.ts";
import type { Parts } from "../parts.ts";
import type { FlvViewer } from "../rtmp/flv-player.ts";
import { refusalOfRequest } from "./guard.ts";

/** `ws` and `http` alike: `/live/<app>/<key>.flv`. */
const MEDIA_PATH = /^\/live\/([^/]+)\/([^/]+)\.flv$/;

/**
 * `GET /publishers` lists what the RTMP server receives, `DELETE /publishers/:app/:key` cuts a publisher, and
 * `/live/:app/:key.flv` plays it as FLV: over HTTP for programs, over a WebSocket for the page, because a browser opens only
 * six HTTP connections to one server and each picture would hold one.
 */
export function registerMediaRoute(app: FastifyInstance, parts: Parts, signal: AbortSignal): void {
  app.get("/publishers", () => ({ url: parts.rtmp?.url, publishers: parts.rtmp?.publishers() ?? [] }));

  app.get("/live/*", (request, reply) => {
    const key = streamKey(request.url);
    if (!isPublished(parts, key)) {
      throw new AppError("not-found", `key: nobody publishes under "${key}"`, { field: "key" });
    }
    const { socket } = reply.raw;
    if (socket === null) return;
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": "video/x-flv", "cache-control": "no-store" });
    parts.rtmp?.play(key, httpViewer(reply.raw, socket));
  });

  app.delete<{ Params: { app: string; key: string } }>("/publishers/:app/:key", (request) => {
    const key = `${request.params.app}/${request.params.key}`;
    if (parts.rtmp?.cut(key) !== true) {
      throw new AppError("not-found", `key: nobody publishes under "${key}"`, { field: "key" });
    }
    parts.log.write("rtmp", `The publisher of ${key} was cut`);
    return { cut: key };
  });

  serveWebSockets(app, parts, signal);
}

function serveWebSockets(app: FastifyInstance, parts: Parts, signal: AbortSignal): void {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  app.server.on("upgrade", (request, socket: Socket, head) => {
    // Nobody else listens any more, and a viewer that goes resets it.
    socket.on("error", () => socket.destroy());
    const { host, origin } = request.headers;
    const { listenAnywhere } = parts.options;
    const key = MEDIA_PATH.test(pathOf(request.url)) ? streamKey(request.url ?? "") : undefined;
    const isRefused = refusalOfRequest({ host, origin, listenAnywhere }) !== undefined;
    if (isRefused || key === undefined || !isPublished(parts, key)) {
      socket.end(`HTTP/1.1 ${isRefused ? "403 Forbidden" : "404 Not Found"}\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("error", () => webSocket.terminate());
      parts.rtmp?.play(key, webSocketViewer(webSocket, socket));
    });
  });
  // The HTTP server waits for these connections when it closes, and does not know how to end them.
  signal.addEventListener("abort", () => {
    for (const client of sockets.clients) client.terminate();
  });
}

function isPublished(parts: Parts, key: string): boolean {
  const publishers = parts.rtmp?.publishers() ?? [];
  return publishers.some(({ app, key: name, publishing }) => `${app}/${name}` === key && publishing);
}

function pathOf(url: string | undefined): string {
  return new URL(url ?? "/", "http://localhost").pathname;
}

/** `live/cam-1` for `/live/live/cam-1.flv`. Throws `not-found` for another path. */
function streamKey(url: string): string {
  const path = pathOf(url);
  const [, app, key] = MEDIA_PATH.exec(path) ?? [];
  if (app === undefined || key === undefined) {
    throw new AppError("not-found", `path: ${path} given, /live/<app>/<key>.flv allowed`, { field: "path" });
  }
  return `${decode(app)}/${decode(key)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function httpViewer(response: ServerResponse, socket: Socket): FlvViewer {
  return {
    socket,
    isOpen: () => !response.destroyed && !response.writableEnded,
    write: (bytes) => void response.write(bytes),
    waitingBytes: () => response.writableLength,
    end: () => response.end(),
    cut: () => response.destroy(),
  };
}

function webSocketViewer(webSocket: WebSocket, socket: Socket): FlvViewer {
  return {
    socket,
    isOpen: () => webSocket.readyState === webSocket.OPEN,
    write: (bytes) => webSocket.send(bytes),
    waitingBytes: () => webSocket.bufferedAmount,
    end: () => webSocket.close(),
    cut: () => webSocket.terminate(),
  };
}
