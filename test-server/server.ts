import { randomBytes } from "node:crypto";
import fastify, { type FastifyInstance } from "fastify";
import { type Clock, systemClock } from "../src/base/clock.ts";
import { AppError } from "../src/base/errors.ts";
import { type Random, systemRandom } from "../src/base/random.ts";
import { toErrorBody } from "../src/contract/error-code.ts";
import type { Workload } from "../src/contract/workload.ts";
import { bindPort } from "./bind-port.ts";
import { applyFault, type FaultAnswer } from "./faults/apply-fault.ts";
import { createFaultBoard } from "./faults/fault-board.ts";
import type { FaultName } from "./faults/fault-catalog.ts";
import { registerCommandsRoute } from "./http/commands-route.ts";
import { answerError } from "./http/error-answer.ts";
import { registerEventsRoute } from "./http/events-route.ts";
import { registerFaultsRoute } from "./http/faults-route.ts";
import { refusalOfRequest } from "./http/guard.ts";
import { registerMediaRoute } from "./http/media-route.ts";
import { registerPageFeed } from "./http/page-feed.ts";
import { registerPageRoute } from "./http/page-route.ts";
import { registerReportsRoute } from "./http/reports-route.ts";
import { registerSendEventRoute } from "./http/send-event-route.ts";
import { registerStreamsRoute } from "./http/streams-route.ts";
import { resolveOptions, type TestServerOptions } from "./options.ts";
import type { Parts } from "./parts.ts";
import { createRtmpServer, type RtmpServer } from "./rtmp/rtmp-server.ts";
import { createClientRoom } from "./sse/client-room.ts";
import { eventOfCommand, eventsOfStep } from "./sse/set-events.ts";
import { createCommandBook } from "./state/command-book.ts";
import { createEventLog } from "./state/event-log.ts";
import { createExpectedSet } from "./state/expected-set.ts";
import { createReportBook } from "./state/report-book.ts";

export interface TestServerDeps {
  readonly clock: Clock;
  readonly random: Random;
}

/** A running server. In one process any number of them live side by side. */
export interface TestServer extends AsyncDisposable, Omit<Parts, "origin"> {
  /** `http://127.0.0.1:3000` */
  readonly origin: string;
  readonly port: number;
  readonly eventsUrl: string;
  readonly reportUrl: string;
  /** Adds or changes streams in the expected set and tells whoever is connected. */
  putStreams(...workloads: readonly Workload[]): void;
  /** Makes a fault happen, as `POST /faults/:name` does. */
  fault(name: FaultName, args?: Readonly<Record<string, unknown>>): FaultAnswer;
  /** Puts bytes on every connection as they are. Gives how many there were. */
  sendRaw(bytes: string | Buffer): number;
  close(): Promise<void>;
}

const KEEP_LOG_LINES = 500;
const KEEP_REPORTS = 200;
const KEEP_COMMANDS = 200;
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** Starts a server and resolves once it listens. Rejects with `refused`, `invalid` or `unavailable`, naming the option. */
export async function createTestServer(
  given: Partial<TestServerOptions> = {},
  deps: Partial<TestServerDeps> = {},
): Promise<TestServer> {
  const options = resolveOptions(given);
  const clock = deps.clock ?? systemClock;
  const random = deps.random ?? systemRandom;
  const life = new AbortController();

  const log = createEventLog({ keep: KEEP_LOG_LINES }, { clock });
  const board = createFaultBoard({ clock });
  const reports = createReportBook({ keep: KEEP_REPORTS }, { clock });
  const set = createExpectedSet(
    { keepChanges: options.keepChanges },
    { newEpoch: () => randomBytes(4).toString("hex") },
  );
  const room = createClientRoom(
    { beatMs: options.beatMs },
    {
      clock,
      writePlan: board.writePlan,
      countEvent: board.countEvent,
      beats: board.beats,
      entersSilent: () => board.connectAnswer().kind === "silent",
    },
  );
  set.onStep((step) => {
    const snapshot = set.snapshot();
    room.broadcast((form) => eventsOfStep(form, step, snapshot).map((text) => Buffer.from(text)));
  });
  room.onChange((text) => log.write("client", text));
  reports.onReport(({ report }) => {
    for (const { text, kind } of report.occurrences) log.write("report", `${report.boxId}: ${kind}: ${text}`);
    commands.heard(report);
  });
  const commands = createCommandBook(
    { keep: KEEP_COMMANDS },
    {
      clock,
      delivery: board.commandDelivery,
      deliver: (command) => {
        room.broadcast((form) => [Buffer.from(eventOfCommand(form, command))]);
      },
    },
  );

  const rtmp = await startRtmp(options, clock);
  rtmp?.onChange((text) => log.write("rtmp", text));
  board.onChange(() => rtmp?.setFrozen(board.receiverIsFrozen()));
  let origin = "";
  const parts: Parts = { options, clock, random, set, room, board, reports, commands, log, rtmp, origin: () => origin };

  const app = fastify({ forceCloseConnections: true, bodyLimit: MAX_BODY_BYTES, exposeHeadRoutes: false });
  await registerRoutes(app, parts, life.signal);

  const close = async () => {
    if (life.signal.aborted) return;
    life.abort(new AppError("cancelled", "the test server was closed"));
    board.close();
    commands.close();
    room.close();
    await app.close();
    await rtmp?.close();
  };
  try {
    origin = await bindPort({ port: options.port, strict: options.strictPorts, field: "--port" }, async (port) => {
      await app.listen({ port, host: options.host });
      return originOf(app, options.host);
    });
  } catch (error) {
    await close();
    throw error;
  }
  log.write("server", `Listening on ${origin}${rtmp === undefined ? "" : `, RTMP on ${rtmp.url}`}`);

  return {
    ...parts,
    origin,
    port: Number(new URL(origin).port),
    eventsUrl: `${origin}/events`,
    reportUrl: `${origin}/report`,
    putStreams: (...workloads) => set.put(workloads),
    fault: (name, args) => applyFault(name, args, parts),
    sendRaw: (bytes) => room.broadcast(() => [Buffer.from(bytes)]),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function startRtmp(options: TestServerOptions, clock: Clock): Promise<RtmpServer | undefined> {
  if (options.rtmpPort === undefined) return undefined;
  const { host, rtmpPort, strictPorts } = options;
  return await createRtmpServer({ host, port: rtmpPort, strictPorts }, { clock });
}

async function registerRoutes(app: FastifyInstance, parts: Parts, signal: AbortSignal): Promise<void> {
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => {
    const message = `path: ${request.method} ${request.url} is not served here; GET / shows what is`;
    reply.code(404).send(toErrorBody(new AppError("not-found", message, { field: "path" })));
  });
  app.addHook("onRequest", async (request) => {
    const { host, origin } = request.headers;
    const refusal = refusalOfRequest({ host, origin, listenAnywhere: parts.options.listenAnywhere });
    if (refusal !== undefined) throw new AppError("refused", refusal);
  });
  registerEventsRoute(app, parts);
  registerSendEventRoute(app, parts);
  registerStreamsRoute(app, parts);
  registerReportsRoute(app, parts);
  registerCommandsRoute(app, parts);
  registerFaultsRoute(app, parts);
  registerMediaRoute(app, parts, signal);
  registerPageFeed(app, parts, signal);
  await registerPageRoute(app);
}

function originOf(app: FastifyInstance, host: string): string {
  const address = app.server.address();
  const shown = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
  return `http://${shown}:${typeof address === "object" && address !== null ? address.port : 0}`;
}
