import type { Clock } from "../../src/base/clock.ts";

/** One stream key, over all its connections. */
export interface Publisher {
  /** `live` in `rtmp://host/live/cam-1`. */
  readonly app: string;
  /** `cam-1` in `rtmp://host/live/cam-1`. Shown as it is: this server tests on loopback. */
  readonly key: string;
  readonly publishing: boolean;
  /** ISO 8601: start of this connection, or end of the last one. */
  readonly since: string;
  /** How often a publisher came with this key: 1 means that it never had to reconnect. */
  readonly connects: number;
  /** How often a second one came while the first still published; it was turned away. */
  readonly rivals: number;
  /** Audio and video payload over all connections. */
  readonly mediaBytes: number;
  readonly videoFrames: number;
  /** Over the last sample. */
  readonly bitrateKbit: number;
  readonly fps: number;
  readonly video: { readonly codec: string; readonly width: number; readonly height: number } | undefined;
  readonly audioCodec: string | undefined;
  /** Who watches it right now. */
  readonly players: number;
}

export interface PublisherSession {
  readonly videoCodecName: string;
  readonly audioCodecName: string;
  readonly videoWidth: number;
  readonly videoHeight: number;
  readonly players: ReadonlySet<string>;
}

interface Entry {
  readonly app: string;
  readonly key: string;
  session: PublisherSession | undefined;
  sinceMs: number;
  connects: number;
  rivals: number;
  mediaBytes: number;
  videoFrames: number;
  bitrateKbit: number;
  fps: number;
  sample: { readonly atMs: number; readonly bytes: number; readonly frames: number };
}

/** Counts per stream path (`/app/key`) what NMS forgets when a session ends. */
export interface PublisherBook {
  connected(path: string, session: PublisherSession): void;
  disconnected(path: string): void;
  /** Somebody wants to publish; called before `connected`. */
  asked(path: string): void;
  media(path: string, kind: "audio" | "video", bytes: number): void;
  /** To be called about once a second: derives bit rate and frame rate. */
  sample(): void;
  views(): readonly Publisher[];
  view(path: string): Publisher | undefined;
}

export function createPublisherBook(deps: { readonly clock: Clock }): PublisherBook {
  const entries = new Map<string, Entry>();
  const nowMs = () => deps.clock.monotonicMs();

  const entryOf = (path: string): Entry => {
    const known = entries.get(path);
    if (known !== undefined) return known;
    const [, app = "", key = ""] = /^\/([^/]*)\/(.*)$/.exec(path) ?? [];
    const sample = { atMs: nowMs(), bytes: 0, frames: 0 };
    const counters = { connects: 0, rivals: 0, mediaBytes: 0, videoFrames: 0, bitrateKbit: 0, fps: 0 };
    const entry: Entry = { app, key, session: undefined, sinceMs: deps.clock.wallMs(), ...counters, sample };
    entries.set(path, entry);
    return entry;
  };
  const viewOf = ({ session, sinceMs, sample, ...counted }: Entry): Publisher => ({
    ...counted,
    publishing: session !== undefined,
    since: new Date(sinceMs).toISOString(),
    video: videoOf(session),
    audioCodec: session === undefined || session.audioCodecName === "" ? undefined : session.audioCodecName,
    players: session?.players.size ?? 0,
  });

  return {
    connected: (path, session) => {
      const entry = entryOf(path);
      entry.session = session;
      entry.connects++;
      entry.sinceMs = deps.clock.wallMs();
      entry.sample = { atMs: nowMs(), bytes: entry.mediaBytes, frames: entry.videoFrames };
    },
    asked: (path) => {
      const entry = entries.get(path);
      if (entry?.session !== undefined) entry.rivals++;
    },
    disconnected: (path) => {
      const entry = entryOf(path);
      entry.session = undefined;
      entry.sinceMs = deps.clock.wallMs();
      entry.bitrateKbit = 0;
      entry.fps = 0;
    },
    media: (path, kind, bytes) => {
      const entry = entryOf(path);
      entry.mediaBytes += bytes;
      if (kind === "video") entry.videoFrames++;
    },
    sample: () => {
      for (const entry of entries.values()) {
        const elapsedMs = nowMs() - entry.sample.atMs;
        if (entry.session === undefined || elapsedMs < 500) continue;
        entry.bitrateKbit = Math.round(((entry.mediaBytes - entry.sample.bytes) * 8) / elapsedMs);
        entry.fps = Math.round(((entry.videoFrames - entry.sample.frames) * 10_000) / elapsedMs) / 10;
        entry.sample = { atMs: nowMs(), bytes: entry.mediaBytes, frames: entry.videoFrames };
      }
    },
    views: () => [...entries.values()].map(viewOf),
    view: (path) => {
      const entry = entries.get(path);
      return entry === undefined ? undefined : viewOf(entry);
    },
  };
}

function videoOf(session: PublisherSession | undefined): Publisher["video"] {
  if (session === undefined || session.videoCodecName === "") return undefined;
  return { codec: session.videoCodecName, width: session.videoWidth, height: session.videoHeight };
}
