import type { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { sep } from "node:path";

/**
 * The parts of node-media-server 2 that we use, without its `NodeMediaServer`: that one binds to every address, ends the
 * process on SIGINT and swallows every uncaught exception of the program it runs in.
 */
export interface Nms {
  readonly RtmpSession: new (config: NmsConfig, socket: Socket) => NmsRtmpSession;
  readonly FlvSession: new (config: NmsConfig, request: NmsFlvRequest, response: NmsFlvSink) => NmsFlvSession;
  readonly context: NmsContext;
}

export interface NmsConfig {
  readonly rtmp: {
    readonly chunk_size: number;
    readonly gop_cache: boolean;
    /** Seconds. */
    readonly ping: number;
    /** Seconds without a byte after which a session ends. */
    readonly ping_timeout: number;
  };
}

export interface NmsContext {
  readonly sessions: Map<string, NmsRtmpSession | NmsFlvSession>;
  /** `/app/key` → session id. */
  readonly publishers: Map<string, string>;
  readonly nodeEvent: EventEmitter;
}

export interface NmsRtmpSession {
  readonly id: string;
  readonly socket: Socket;
  readonly publishStreamPath: string;
  readonly parserPacket: { readonly header: { readonly length: number } };
  readonly videoCodecName: string;
  readonly audioCodecName: string;
  readonly videoWidth: number;
  readonly videoHeight: number;
  readonly players: Set<string>;
  readonly rtmpGopCacheQueue: Set<Buffer> | null;
  readonly flvGopCacheQueue: Set<Buffer> | null;
  onSocketData(data: Buffer): void;
  rtmpAudioHandler(): void;
  rtmpVideoHandler(): void;
  run(): void;
  stop(): void;
}

export interface NmsFlvSession {
  readonly id: string;
  isStarting: boolean;
  playStreamPath: string;
  playArgs: Readonly<Record<string, string>>;
  onPlay(): void;
  stop(): void;
}

/** What an FLV session reads of an HTTP request. */
export interface NmsFlvRequest {
  readonly method: "GET";
  readonly url: string;
  readonly nmsConnectionType: "http";
  readonly socket: Socket;
  on(event: "error", listener: () => void): unknown;
}

/** What it writes to. */
export interface NmsFlvSink {
  readonly socket: { cork(): void; uncork(): void };
  write(bytes: Buffer): unknown;
  end(): void;
}

/** A fresh instance: the package keeps its publishers in module scope, and two servers in one process must not share them. */
export function loadNms(): Nms {
  const require = createRequire(import.meta.url);
  const folder = `${sep}node-media-server${sep}src${sep}`;
  for (const file of Object.keys(require.cache)) if (file.includes(folder)) delete require.cache[file];
  const logger: { setLogType(type: number): void } = require("node-media-server/src/node_core_logger.js");
  logger.setLogType(0);
  return {
    RtmpSession: require("node-media-server/src/node_rtmp_session.js"),
    FlvSession: require("node-media-server/src/node_flv_session.js"),
    context: require("node-media-server/src/node_core_ctx.js"),
  };
}
