import { createFakeClock, type FakeClock } from "../../base/clock.fake.ts";
import { createMemoryLog, type MemoryLog } from "../../base/log.ts";
import { untilAborted } from "../../base/service.ts";
import type { WireEvent } from "../../contract/wire-event.ts";
import { createFakeServer, type FakeServer, type OpenConnection } from "./connection.fake.ts";
import { createLink, type Link, type LinkDeps, type LinkOptions } from "./link.ts";

/** A running link against a server in memory, with everything it said. */
export interface LinkWorld extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  readonly server: FakeServer;
  readonly link: Link;
  readonly events: { readonly event: WireEvent; readonly cursorId: string | undefined }[];
  readonly cursors: string[];
  readonly told: string[];
  /** The latest connection. */
  connection(): OpenConnection;
  /** Lets everything happen that needs no time. */
  settle(): Promise<void>;
  /** Waits for the next attempt, as long as the link says. */
  untilDialled(): Promise<void>;
}

export const LINK_OPTIONS: LinkOptions = {
  endpoint: "http://hub.test/v1/boxes/north-1/events?key=canary-key",
  retryDelayMs: 5000,
  maxRetries: 3,
  connectTimeoutMs: 10_000,
  replayWindowMs: 0,
  outputTemplate: "rtmp://ingest.test/live/{streamKey}",
};

export async function startLinkWorld(
  options: Partial<LinkOptions> = {},
  deps: Partial<LinkDeps> = {},
): Promise<LinkWorld> {
  const clock = createFakeClock();
  const log = createMemoryLog();
  const server = createFakeServer();
  const events: LinkWorld["events"] = [];
  const cursors: string[] = [];
  const told: string[] = [];
  let cursor: string | undefined;
  const link = createLink(
    { ...LINK_OPTIONS, ...options },
    {
      fetch: server.fetch,
      clock,
      random: () => 1 - 1e-9,
      log,
      token: async () => "secret-token",
      cursor: () => cursor,
      onEvent: (event, cursorId) => {
        events.push({ event, cursorId });
        if (cursorId !== undefined) cursor = cursorId;
      },
      onCursor: (cursorId) => {
        cursors.push(cursorId);
        cursor = cursorId;
      },
      onConnected: () => void told.push("connected"),
      onDisconnected: (reason) => void told.push(`disconnected: ${reason}`),
      ...deps,
    },
  );
  const abort = new AbortController();
  const done = link.run(abort.signal);
  const settle = async () => {
    for (let turn = 0; turn < 4; turn++) await clock.advance(0);
  };
  await settle();
  return {
    clock,
    log,
    server,
    link,
    events,
    cursors,
    told,
    settle,
    untilDialled: async () => {
      await settle();
      await clock.advance((link.status().nextAttemptInSeconds ?? 0) * 1000 + 1);
    },
    connection: () => {
      const latest = server.connections.at(-1);
      if (latest === undefined) throw new RangeError("nobody has connected");
      return latest;
    },
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await untilAborted(abort.signal);
      await done;
    },
  };
}

export const STOP = (id: string) => `data: {"eventType":"stop","id":"${id}"}\n\n`;
export const START = (id: string) =>
  `data: {"eventType":"start","id":"${id}","input":"test://bars","output":"rtmp://h/live/${id}"}\n\n`;
