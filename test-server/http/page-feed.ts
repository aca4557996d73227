import type { FastifyInstance } from "fastify";
import type { Clock, Timer } from "../../src/base/clock.ts";
import { describeWorkload } from "../../src/contract/describe-spec.ts";
import type { Workload } from "../../src/contract/workload.ts";
import { encodeEvent } from "../../src/hub/events/frame.ts";
import { SSE_HEADERS } from "../../src/hub/events/sse-headers.ts";
import { isLoopback } from "../options.ts";
import type { Parts } from "../parts.ts";
import { commandView } from "./commands-route.ts";

const COALESCE_MS = 100;
/** Counters (bytes, frames, seconds left) move without anything happening. */
const TICK_MS = 1000;
/** A page that does not read is cut; it comes back by itself and gets the whole state. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/** What the page shows, each under the name of its event. */
interface Sections {
  readonly server: unknown;
  readonly streams: unknown;
  readonly clients: unknown;
  readonly reports: unknown;
  readonly publishers: unknown;
  readonly faults: unknown;
  readonly commands: unknown;
}

/** `GET /page-events`: the whole state at first, then each part again when it differs, and each log line. `GET /log`, `GET /clients`: the same once. */
export function registerPageFeed(app: FastifyInstance, parts: Parts, signal: AbortSignal): void {
  app.get("/log", () => ({ lines: parts.log.lines() }));
  app.get("/clients", () => ({ clients: parts.room.views() }));

  const viewers = new Set<{ send(text: string): void }>();
  const sent = new Map<string, string>();
  const renew = () => {
    for (const [name, value] of Object.entries(sectionsOf(parts))) {
      const data = JSON.stringify(value);
      if (sent.get(name) === data) continue;
      sent.set(name, data);
      for (const viewer of viewers) viewer.send(encodeEvent({ event: name, data }));
    }
  };
  const soon = createSoon(parts.clock, renew);
  parts.room.onChange(soon.ask);
  parts.board.onChange(soon.ask);
  parts.reports.onReport(soon.ask);
  parts.set.onStep(soon.ask);
  parts.commands.onChange(soon.ask);
  parts.rtmp?.onChange(soon.ask);
  parts.log.onLine((line) => {
    for (const viewer of viewers) viewer.send(encodeEvent({ event: "line", data: JSON.stringify(line) }));
  });
  const tickLoop = async () => {
    while (!signal.aborted) {
      await parts.clock.delay(TICK_MS, signal);
      if (viewers.size > 0) renew();
    }
  };
  // Ends with the signal's rejection and has no other way to fail.
  tickLoop().catch(() => undefined);
  signal.addEventListener("abort", () => soon.clear(), { once: true });

  app.get("/page-events", (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, SSE_HEADERS);
    const send = (text: string) => {
      reply.raw.write(text);
      if (reply.raw.writableLength > MAX_WAITING_BYTES) reply.raw.destroy();
    };
    const viewer = { send };
    renew();
    for (const [name, data] of sent) viewer.send(encodeEvent({ event: name, data }));
    viewer.send(encodeEvent({ event: "log", data: JSON.stringify(parts.log.lines()) }));
    viewers.add(viewer);
    reply.raw.once("close", () => viewers.delete(viewer));
    reply.raw.once("error", () => viewers.delete(viewer));
  });
}

function sectionsOf(parts: Parts): Sections {
  const { epoch, revision, workloads } = parts.set.snapshot();
  const origin = parts.origin();
  return {
    server: {
      epoch,
      revision,
      events: `${origin}/events`,
      reports: `${origin}/report`,
      rtmp: parts.rtmp?.url,
      beatSeconds: parts.options.beatMs / 1000,
    },
    streams: workloads.map((workload) => {
      const { input, outputs } = endsOf(workload);
      return {
        id: workload.id,
        name: workload.name,
        input,
        outputs,
        pictures: outputs.flatMap((url) => pictureKey(url, parts.rtmp?.port) ?? []),
      };
    }),
    clients: parts.room.views(),
    reports: parts.reports.latest(),
    publishers: parts.rtmp?.publishers() ?? [],
    faults: parts.board.active(),
    commands: parts.commands.list().map(commandView),
  };
}

function endsOf(workload: Workload): { readonly input: string; readonly outputs: readonly string[] } {
  if (workload.kind === "stream") {
    return { input: workload.spec.input.url, outputs: workload.spec.outputs.map(({ url }) => url) };
  }
  const input = workload.kind === "tunnel" ? `tunnel ${workload.spec.uid}` : `session of ${workload.spec.user}`;
  return { input, outputs: [describeWorkload(workload)] };
}

/** `app/key` for an address of our own RTMP server. */
function pictureKey(output: string, rtmpPort: number | undefined): string | undefined {
  if (rtmpPort === undefined || !URL.canParse(output)) return undefined;
  const url = new URL(output);
  const port = url.port === "" ? 1935 : Number(url.port);
  if (url.protocol !== "rtmp:" || port !== rtmpPort || !isLoopback(url.hostname)) return undefined;
  const [, app, key] = /^\/([^/]+)\/(.+)$/.exec(url.pathname) ?? [];
  return app === undefined || key === undefined ? undefined : `${app}/${key}`;
}

/** Many asks in a row become one call. */
function createSoon(clock: Clock, act: () => void): { ask(): void; clear(): void } {
  let timer: Timer | undefined;
  return {
    ask: () => {
      timer ??= clock.timer(COALESCE_MS, () => {
        timer = undefined;
        act();
      });
    },
    clear: () => timer?.clear(),
  };
}
