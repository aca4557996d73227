import { request as httpRequest, type IncomingMessage } from "node:http";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { openSocketAddress } from "../base/socket-address.ts";
import { ERROR_POLICY, type ErrorCode } from "../contract/error-code.ts";
import { type LogRecord, logRecordSchema, type OutputName } from "../contract/fleet/log-line.ts";
import {
  type AgentStatus,
  agentStatusSchema,
  type CleanupResult,
  type CleanupWish,
  cleanupResultSchema,
  type Explanation,
  explanationSchema,
  type ReconcileResult,
  reconcileResultSchema,
} from "../contract/local-status.ts";

/** The agent of this machine, over its socket. Every call rejects with an `AppError`; `unavailable` means none runs. */
export interface LocalAgent {
  status(signal: AbortSignal): Promise<AgentStatus>;
  explain(id: string, signal: AbortSignal): Promise<Explanation>;
  reconcile(signal: AbortSignal): Promise<ReconcileResult>;
  cleanup(wish: CleanupWish, signal: AbortSignal): Promise<CleanupResult>;
  /** Says that a session is used. Rejects with `not-found` where none of that id is awake. */
  touch(id: string, signal: AbortSignal): Promise<void>;
  /** Text as it comes, in pieces. With `follow` it ends when the signal aborts or the agent stops. */
  logs(id: string, options: LogRequest, signal: AbortSignal): AsyncIterable<string>;
  /** The same as records: lines and gaps. */
  logRecords(id: string, options: LogRecordRequest, signal: AbortSignal): AsyncIterable<LogRecord>;
}

export interface LogRequest {
  /** From the end. */
  readonly lines: number;
  readonly follow: boolean;
}

export interface LogRecordRequest extends LogRequest {
  /** ISO 8601; lines before it are left out. */
  readonly since: string | undefined;
  /** Of a session: one of its outputs alone. */
  readonly output: OutputName | undefined;
}

export interface LocalAgentOptions {
  readonly socketPath: string;
  /** Longest silence while an answer is awaited. Laps and cleanups may wait for processes to end. */
  readonly timeoutMs?: number;
}

interface Schema<T> {
  safeParse(value: unknown): { readonly success: true; readonly data: T } | { readonly success: false };
}

interface Call {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly timeoutMs: number;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const MAX_ANSWER_CHARACTERS = 64 * 1024 * 1024;

export function createLocalAgent({ socketPath, timeoutMs = DEFAULT_TIMEOUT_MS }: LocalAgentOptions): LocalAgent {
  const ask = async <T>(call: Omit<Call, "timeoutMs">, schema: Schema<T>, signal: AbortSignal): Promise<T> => {
    const response = await send(socketPath, { ...call, timeoutMs }, signal);
    const parsed = schema.safeParse(parseJson(await readAll(response)));
    if (parsed.success) return parsed.data;
    throw new AppError("version", `the agent's answer to ${call.path} is not understood: it is of another version`);
  };

  async function* textOfLog(
    id: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    const path = `/v1/logs/${encodeURIComponent(id)}?${new URLSearchParams(query)}`;
    const follow = query["follow"] === "1";
    const response = await send(socketPath, { method: "GET", path, timeoutMs: follow ? 0 : timeoutMs }, signal);
    response.setEncoding("utf8");
    try {
      for await (const text of response) yield String(text);
    } catch (error) {
      if (!signal.aborted && errnoOf(error) !== "ECONNRESET") throw toConnectionError(error, socketPath);
    }
  }

  return {
    status: (signal) => ask({ method: "GET", path: "/v1/status" }, agentStatusSchema, signal),
    explain: (id, signal) =>
      ask({ method: "GET", path: `/v1/explain/${encodeURIComponent(id)}` }, explanationSchema, signal),
    reconcile: (signal) => ask({ method: "POST", path: "/v1/reconcile" }, reconcileResultSchema, signal),
    cleanup: ({ dryRun, scope, tunnel }, signal) => {
      const query = new URLSearchParams({
        dryRun: dryRun ? "1" : "0",
        scope,
        ...(tunnel === undefined ? {} : { tunnel }),
      });
      return ask({ method: "POST", path: `/v1/cleanup?${query}` }, cleanupResultSchema, signal);
    },
    touch: async (id, signal) => {
      const call = { method: "POST", path: `/v1/touch/${encodeURIComponent(id)}`, timeoutMs } as const;
      await readAll(await send(socketPath, call, signal));
    },
    logs: (id, { lines, follow }, signal) =>
      textOfLog(id, { lines: String(lines), follow: follow ? "1" : "0" }, signal),
    logRecords: async function* (id, { lines, follow, since, output }, signal) {
      const query = {
        records: "1",
        lines: String(lines),
        follow: follow ? "1" : "0",
        ...(since === undefined ? {} : { since }),
        ...(output === undefined ? {} : { output }),
      };
      let rest = "";
      for await (const text of textOfLog(id, query, signal)) {
        const lines = `${rest}${text}`.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const record = logRecordSchema.safeParse(parseJson(line));
          if (!record.success)
            throw new AppError("version", "the agent's records are not understood: it is of another version");
          yield record.data;
        }
      }
    },
  };
}

/** Resolves with a good answer; rejects with the `AppError` that a bad one, or none, amounts to. */
async function send(socketPath: string, call: Call, signal: AbortSignal): Promise<IncomingMessage> {
  const address = await openSocketAddress(socketPath).catch((error: unknown) => {
    throw toConnectionError(error, socketPath);
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const { method, path, timeoutMs } = call;
    const request = httpRequest({ socketPath: address.path, method, path, timeout: timeoutMs, signal }, resolve);
    request.on("timeout", () =>
      request.destroy(new AppError("timeout", `the agent did not answer within ${timeoutMs / 1000} s`)),
    );
    request.on("error", (error) => reject(signal.aborted ? cancelled() : toConnectionError(error, socketPath)));
    request.end();
  }).finally(() => address.close());
  if (response.statusCode === 200) return response;
  throw toAnsweredError(await readAll(response), response.statusCode);
}

function cancelled(): AppError<ErrorCode> {
  return new AppError("cancelled", "interrupted");
}

function toConnectionError(thrown: unknown, socketPath: string): AppError<ErrorCode> {
  if (thrown instanceof AppError && isErrorCode(thrown.code)) return new AppError(thrown.code, thrown.message);
  switch (errnoOf(thrown)) {
    case "ENOENT":
    case "ENOTDIR":
    case "ECONNREFUSED":
      return new AppError(
        "unavailable",
        `no agent answers at ${socketPath}. Start it (systemctl start sluice-agent, or sluice agent), or name its directory with --state-dir`,
        { cause: thrown },
      );
    case "EACCES":
    case "EPERM":
      return new AppError(
        "unauthorized",
        `the agent's socket ${socketPath} belongs to another user: run this as that user, or as root with sudo`,
        { cause: thrown },
      );
    default:
      return new AppError("unavailable", `cannot talk to the agent at ${socketPath}: ${messageOf(thrown)}`, {
        cause: thrown,
      });
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  try {
    for await (const piece of response) {
      text += String(piece);
      if (text.length > MAX_ANSWER_CHARACTERS) break;
    }
  } catch (error) {
    throw new AppError("unavailable", `the agent broke off its answer: ${messageOf(error)}`, { cause: error });
  }
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toAnsweredError(text: string, status: number | undefined): AppError<ErrorCode> {
  const body = parseJson(text);
  if (typeof body === "object" && body !== null && "error" in body) {
    const { error } = body;
    if (typeof error === "object" && error !== null && "code" in error && "message" in error) {
      const code = isErrorCode(error.code) ? error.code : "internal";
      return new AppError(code, String(error.message));
    }
  }
  return new AppError("internal", `the agent answered with status ${status}`);
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_POLICY, value);
}
