import { once } from "node:events";
import { chmod, lstat, unlink } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Redactor } from "../../base/redact.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import { openSocketAddress } from "../../base/socket-address.ts";
import { ERROR_POLICY, toAppError, toErrorBody } from "../../contract/error-code.ts";
import { readRecords, toNdjson } from "../log-stream/read-records.ts";
import type { LogLedger } from "../runtime/output/log-ledger.ts";
import type { LocalApiSource } from "./local-api-source.ts";
import { type LocalRequest, parseLocalRequest } from "./local-request.ts";
import { readLog } from "./read-log.ts";

/** In the state directory. */
export const LOCAL_API_SOCKET = "agent.sock";

export interface LocalApiOptions {
  readonly socketPath: string;
}

export interface LocalApiDeps {
  readonly source: LocalApiSource;
  readonly redactor: Redactor;
  /** What writers of logs tell their readers in this process. */
  readonly ledger?: LogLedger | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called each time the socket is open. */
  readonly onListening?: () => void;
}

const MAX_CONNECTIONS = 64;
const MAX_BODY_BYTES = 4096;
const RETRY = { baseMs: 1000, maxMs: 60_000 } as const;

/**
 * The agent's API for this machine: HTTP over a Unix socket of mode 0600. All that goes out has passed the redactor.
 * A socket that cannot be opened (disk full, read-only) is said once for each reason and tried again: streams do not need it.
 */
export function createLocalApi({ socketPath }: LocalApiOptions, deps: LocalApiDeps): Service {
  return {
    name: "local-api",
    run: async (signal) => {
      let lastReason = "";
      for (let attempt = 0; !signal.aborted; attempt++) {
        try {
          await serve(socketPath, deps, signal);
        } catch (thrown) {
          const reason = messageOf(thrown);
          if (reason !== lastReason) deps.log.warn(`The local API cannot listen on ${socketPath}: ${reason}`);
          lastReason = reason;
          await deps.clock.delay(fullJitterMs(attempt, RETRY, deps.random), signal).catch(() => undefined);
        }
      }
    },
  };
}

async function serve(socketPath: string, deps: LocalApiDeps, signal: AbortSignal): Promise<void> {
  const address = await openSocketAddress(socketPath);
  try {
    await removeStaleSocket(socketPath, address.path);
    const server = createBoundedServer(deps);
    server.listen(address.path);
    await once(server, "listening");
    try {
      server.on("error", (error) => deps.log.warn(`The local API had an error: ${messageOf(error)}`));
      await chmod(socketPath, 0o600);
      deps.onListening?.();
      await untilAborted(signal);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  } finally {
    await address.close();
  }
}

function createBoundedServer(deps: LocalApiDeps): Server {
  const server = createServer(
    { headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 8192, connectionsCheckingInterval: 1000 },
    (request, response) => void handle(request, response, deps),
  );
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/** A socket left by an agent that died is removed; one that answers is another agent's, and stays. */
async function removeStaleSocket(socketPath: string, address: string): Promise<void> {
  const found = await lstat(socketPath).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new AppError("conflict", "something that is no socket is in its place; move it away");
  if (await isAnswered(address)) throw new AppError("conflict", "another agent answers on it");
  await unlink(socketPath);
}

function isAnswered(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const settle = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** Never rejects: whatever goes wrong is an answer, or the end of the connection. */
async function handle(request: IncomingMessage, response: ServerResponse, deps: LocalApiDeps): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.on("error", () => gone.abort());
  response.setHeader("connection", "close");
  try {
    refuseBody(request);
    const wanted = parseLocalRequest(request.method ?? "", request.url ?? "");
    if (wanted.kind === "logs") await sendLog(wanted, response, { ...deps, signal: gone.signal });
    else if (wanted.kind === "metrics") sendText(response, deps.redactor.redact(await deps.source.metrics()));
    else sendJson(response, { status: 200, body: await answer(wanted, deps.source) }, deps.redactor);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code === "internal") deps.log.error(`The local API failed at ${request.url}: ${messageOf(thrown)}`);
    if (response.headersSent) response.destroy();
    else sendJson(response, { status: ERROR_POLICY[error.code].http, body: toErrorBody(error) }, deps.redactor);
  }
}

/** No request of this API has a body; what comes all the same is read and dropped within a bound. */
function refuseBody(request: IncomingMessage): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) request.destroy();
  });
  request.on("error", () => undefined);
  const length = Number(request.headers["content-length"] ?? 0);
  if (length > MAX_BODY_BYTES) {
    throw new AppError("too-large", `the body has ${length} bytes; allowed: ${MAX_BODY_BYTES}`);
  }
}

function answer(wanted: Exclude<LocalRequest, { kind: "logs" | "metrics" }>, source: LocalApiSource): unknown {
  switch (wanted.kind) {
    case "place":
      return source.place(wanted.id, wanted.port);
    case "status":
      return source.status();
    case "explain":
      return source.explain(wanted.id);
    case "reconcile":
      return source.reconcile();
    case "cleanup":
      return source.cleanup(wanted.wish);
    case "touch":
      if (source.touch(wanted.id)) return { touched: wanted.id };
      throw new AppError("not-found", `no session ${wanted.id} is awake on this box`);
  }
}

function sendJson(
  response: ServerResponse,
  { status, body }: { readonly status: number; readonly body: unknown },
  redactor: Redactor,
): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(`${redactor.redact(JSON.stringify(body))}\n`);
}

function sendText(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.end(text);
}

interface LogDeps extends LocalApiDeps {
  readonly signal: AbortSignal;
}

async function sendLog(
  wanted: Extract<LocalRequest, { kind: "logs" }>,
  response: ServerResponse,
  { source, redactor, ledger, clock, signal }: LogDeps,
): Promise<void> {
  const { id } = wanted;
  const path = source.logFile(id);
  if (path === undefined) throw new AppError("not-found", `nothing named ${id} has a log on this box`);
  const type = wanted.asRecords ? "application/x-ndjson" : "text/plain; charset=utf-8";
  response.writeHead(200, { "content-type": type });
  response.flushHeaders();
  for await (const text of textOf(path, wanted, { redactor, ledger, clock, signal })) {
    if (!response.write(text)) await once(response, "drain", { signal }).catch(() => undefined);
  }
  response.end();
}

async function* textOf(
  path: string,
  { id, asRecords, ...wanted }: Extract<LocalRequest, { kind: "logs" }>,
  { redactor, ledger, clock, signal }: Pick<LogDeps, "redactor" | "ledger" | "clock" | "signal">,
): AsyncGenerator<string> {
  const { redact } = redactor;
  if (asRecords) {
    for await (const records of readRecords({ ...wanted, path, source: id }, { clock, redact, ledger }, signal)) {
      yield toNdjson(records);
    }
    return;
  }
  for await (const text of readLog({ path, ...wanted, ledger }, clock, signal)) yield redact(text);
}
