import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../src/base/clock.ts";
import { AppError, messageOf } from "../../src/base/errors.ts";
import { bindPort } from "../bind-port.ts";
import { type FlvViewer, playAsFlv } from "./flv-player.ts";
import { loadNms, type Nms, type NmsConfig, type NmsRtmpSession } from "./nms.ts";
import { createPublisherBook, type Publisher, type PublisherBook } from "./publisher-book.ts";

const CONFIG: NmsConfig = { rtmp: { chunk_size: 60_000, gop_cache: true, ping: 30, ping_timeout: 60 } };
const SAMPLE_MS = 1000;
/** NMS empties its cache at each key frame only: a stream without any would fill the memory. */
const MAX_CACHED_PACKETS = 5000;

export interface RtmpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly strictPorts: boolean;
}

export interface RtmpServer extends AsyncDisposable {
  readonly port: number;
  /** `rtmp://127.0.0.1:1935/live`: a key comes after it. */
  readonly url: string;
  publishers(): readonly Publisher[];
  /** How often a publisher came with this key. `key` is `cam-1` (app `live`) or `app/cam-1`, here and below. */
  connects(key: string): number;
  /** Audio and video bytes received under this key, over all connections. */
  mediaBytes(key: string): number;
  /** Resolves once media of a connected publisher arrived under this key; rejects with the signal's reason. */
  untilPublishing(key: string, signal: AbortSignal): Promise<Publisher>;
  /** Cuts the publisher's connection. False when nobody publishes under this key. */
  cut(key: string): boolean;
  /** Keeps connections and takes new ones, and reads nothing of any, as a process that hangs; or reads on. */
  setFrozen(isFrozen: boolean): void;
  /** Sends the stream as FLV. False when nobody publishes under this key; then nothing was written. */
  play(key: string, viewer: FlvViewer): boolean;
  onChange(listener: (text: string) => void): void;
  close(): Promise<void>;
}

/** A receiving RTMP server. Rejects with `unavailable` when the port cannot be had. */
export async function createRtmpServer(
  options: RtmpServerOptions,
  deps: { readonly clock: Clock },
): Promise<RtmpServer> {
  const nms = loadNms();
  const book = createPublisherBook(deps);
  const listeners = new Set<(text: string) => void>();
  const waiters = new Set<() => void>();
  const life = new AbortController();

  const tell = (text: string) => {
    for (const listener of listeners) listener(text);
  };
  const onMedia = () => {
    for (const wake of waiters) wake();
  };
  const sessions = watchSessions({ nms, book, tell, onMedia });
  const server = await bindPort({ port: options.port, strict: options.strictPorts, field: "--rtmp-port" }, (port) =>
    listen(port, options.host, sessions.accept),
  );
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;

  const sampleLoop = async () => {
    while (!life.signal.aborted) {
      await deps.clock.delay(SAMPLE_MS, life.signal);
      book.sample();
      sessions.boundCaches();
    }
  };
  // Ends with the signal's rejection and has no other way to fail.
  sampleLoop().catch(() => undefined);

  const close = async () => {
    if (life.signal.aborted) return;
    life.abort(new AppError("cancelled", "the RTMP server was closed"));
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    sessions.stopAll();
    await closed;
  };
  const publisherOf = (key: string) => book.view(pathOf(key));

  return {
    port,
    url: `rtmp://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}/live`,
    publishers: () => book.views(),
    connects: (key) => publisherOf(key)?.connects ?? 0,
    mediaBytes: (key) => publisherOf(key)?.mediaBytes ?? 0,
    untilPublishing: (key, signal) =>
      new Promise((resolve, reject) => {
        const either = AbortSignal.any([signal, life.signal]);
        const done = () => {
          waiters.delete(look);
          either.removeEventListener("abort", fail);
        };
        const fail = () => {
          done();
          reject(either.reason);
        };
        const since = publisherOf(key)?.publishing === true ? 0 : (publisherOf(key)?.mediaBytes ?? 0);
        const look = () => {
          const publisher = publisherOf(key);
          if (publisher === undefined || !publisher.publishing || publisher.mediaBytes <= since) return;
          done();
          resolve(publisher);
        };
        if (either.aborted) {
          reject(either.reason);
          return;
        }
        either.addEventListener("abort", fail, { once: true });
        waiters.add(look);
        look();
      }),
    cut: (key) => sessions.stop(pathOf(key)),
    setFrozen: sessions.setFrozen,
    play: (key, viewer) => {
      const path = pathOf(key);
      if (!nms.context.publishers.has(path)) return false;
      playAsFlv(nms, CONFIG, { path, viewer });
      return true;
    },
    onChange: (listener) => void listeners.add(listener),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function pathOf(key: string): string {
  return key.includes("/") ? `/${key}` : `/live/${key}`;
}

function listen(port: number, host: string, accept: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(accept);
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve(server);
    });
  });
}

/** Runs NMS sessions, counts what they carry and keeps a broken one from harming the process. */
function watchSessions(watch: {
  readonly nms: Nms;
  readonly book: PublisherBook;
  readonly tell: (text: string) => void;
  readonly onMedia: () => void;
}) {
  const { nms, book, tell } = watch;
  const sessions = new Set<NmsRtmpSession>();
  const publishing = new Map<string, NmsRtmpSession>();
  let isFrozen = false;

  const freeze = ({ socket }: NmsRtmpSession) => {
    socket.pause();
    // What hangs does not end idle connections either.
    socket.setTimeout(0);
  };
  const thaw = ({ socket }: NmsRtmpSession) => {
    socket.setTimeout(CONFIG.rtmp.ping_timeout * 1000);
    socket.resume();
  };
  nms.context.nodeEvent.on("prePublish", (_id: string, path: string) => book.asked(path));
  nms.context.nodeEvent.on("postPublish", (id: string, path: string) => {
    const session = [...sessions].find((candidate) => candidate.id === id);
    if (session === undefined) return;
    publishing.set(path, session);
    book.connected(path, session);
    tell(`${path} is being published (connection ${book.view(path)?.connects ?? 0})`);
  });
  nms.context.nodeEvent.on("donePublish", (_id: string, path: string) => {
    publishing.delete(path);
    book.disconnected(path);
    tell(`${path} is not published any more`);
  });

  const accept = (socket: Socket) => {
    const session = new nms.RtmpSession(CONFIG, socket);
    sessions.add(session);
    socket.once("close", () => sessions.delete(session));
    const guarded =
      <Args extends readonly unknown[]>(act: (...args: Args) => void) =>
      (...args: Args) => {
        try {
          act(...args);
        } catch (error) {
          // What does not speak RTMP throws inside NMS; only this connection may suffer.
          tell(`an RTMP connection was cut: ${messageOf(error)}`);
          session.stop();
          socket.destroy();
        }
      };
    const counted = (kind: "audio" | "video", act: () => void) => () => {
      if (session.publishStreamPath !== "") {
        book.media(session.publishStreamPath, kind, session.parserPacket.header.length);
        watch.onMedia();
      }
      act();
    };
    session.rtmpAudioHandler = counted("audio", session.rtmpAudioHandler.bind(session));
    session.rtmpVideoHandler = counted("video", session.rtmpVideoHandler.bind(session));
    session.onSocketData = guarded(session.onSocketData.bind(session));
    session.run();
    if (isFrozen) freeze(session);
  };

  return {
    accept,
    stop: (path: string) => {
      const session = publishing.get(path);
      session?.stop();
      return session !== undefined;
    },
    setFrozen: (wanted: boolean) => {
      if (wanted === isFrozen) return;
      isFrozen = wanted;
      for (const session of sessions) (wanted ? freeze : thaw)(session);
    },
    stopAll: () => {
      for (const session of nms.context.sessions.values()) session.stop();
    },
    boundCaches: () => {
      for (const { flvGopCacheQueue, rtmpGopCacheQueue } of publishing.values()) {
        if ((flvGopCacheQueue?.size ?? 0) <= MAX_CACHED_PACKETS) continue;
        flvGopCacheQueue?.clear();
        rtmpGopCacheQueue?.clear();
      }
    },
  };
}
