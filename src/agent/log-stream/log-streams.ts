import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HttpTrust } from "../../base/http-fetch.ts";
import { httpUpload } from "../../base/http-upload.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import { type LogCommandArgs, type LogRecord, logCommandArgsSchema } from "../../contract/fleet/log-line.ts";
import { boxAddress } from "../../contract/hub-address.ts";
import type { LogLedger } from "../runtime/output/log-ledger.ts";
import { readRecords, toNdjson } from "./read-records.ts";

export interface LogStreamsOptions {
  /** The hub's base address and this box there. */
  readonly hub: string;
  readonly boxId: string;
}

export interface LogStreamsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly redact: (text: string) => string;
  readonly ledger?: LogLedger | undefined;
  /** `agent` or the id of a workload; `undefined`: there is no such log. */
  readonly logFile: (source: string) => string | undefined;
  /** What opens the hub. */
  readonly token: () => Promise<string | undefined>;
  readonly trust: () => HttpTrust;
}

/** Uploads of logs that somebody reads at the hub, each for as long as its reader stays. */
export interface LogStreams extends Service {
  /**
   * Begins one upload, by the arguments of the command `logs`. Resolves when it has begun, with what to tell. Rejects with
   * `invalid`, `not-found`, or `exhausted` when too many are read already.
   */
  open(args: Readonly<Record<string, unknown>>): Promise<string>;
  /** The hub is out of reach, or back: uploads outlast a short while without it. */
  linked(isUp: boolean): void;
  count(): number;
}

export const MAX_STREAMS = 8;
const MAX_TAIL_LINES = 10_000;
/** An empty line, which means nothing: it shows that the way is still there when a log has nothing to say. */
const IDLE_MS = 5000;
const STUCK_MS = 30_000;
const UNLINKED_MS = 30_000;
/** Media goes first: a flood takes no more of the uplink than this. */
const BYTES_PER_SECOND = 512 * 1024;

export function createLogStreams(options: LogStreamsOptions, deps: LogStreamsDeps): LogStreams {
  const { clock, log } = deps;
  const open = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  let unlinked: { clear(): void } | undefined;

  const stopAll = (reason: string) => {
    for (const { stop } of open.values()) stop.abort(new AppError("cancelled", reason));
  };

  const upload = async (args: LogCommandArgs, path: string, signal: AbortSignal) => {
    const token = await deps.token();
    const status = await httpUpload({
      url: uploadUrl(options, args),
      headers: {
        "content-type": "application/x-ndjson",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      trust: deps.trust(),
      body: (life) => ndjson(args, path, deps, life),
      stuckMs: STUCK_MS,
      signal,
    });
    if (status >= 400) throw new AppError("unavailable", `HTTP ${status}`);
  };

  const start = (args: LogCommandArgs, path: string) => {
    const stop = new AbortController();
    const source = args.workload ?? "agent";
    log.info(`Somebody reads the log of ${source}`);
    const done = upload(args, path, stop.signal)
      .then(
        () => log.info(`The log of ${source} is not read any more`),
        (thrown: unknown) => log.info(`The log of ${source} is not read any more: ${messageOf(thrown)}`),
      )
      .finally(() => open.delete(args.stream));
    open.set(args.stream, { stop, done });
  };

  return {
    name: "log streams",
    count: () => open.size,
    open: async (given) => {
      const parsed = logCommandArgsSchema.safeParse(given);
      if (!parsed.success) {
        const field = parsed.error.issues[0]?.path.join(".") ?? "args";
        throw new AppError("invalid", `${field}: ${parsed.error.issues[0]?.message ?? "is wrong"}`, { field });
      }
      const args = parsed.data;
      const source = args.workload ?? "agent";
      const path = deps.logFile(source);
      if (path === undefined)
        throw new AppError("not-found", `there is no workload ${source} here`, { field: "workload" });
      if (args.since !== undefined && Number.isNaN(Date.parse(args.since))) {
        throw new AppError("invalid", "since: given a text that is no time; allowed: ISO 8601", { field: "since" });
      }
      if (open.has(args.stream)) return "it is uploaded already";
      if (open.size >= MAX_STREAMS) {
        throw new AppError("exhausted", `${MAX_STREAMS} logs of this box are read already; it takes no more`);
      }
      uploadUrl(options, args);
      start(args, path);
      return "the upload has begun";
    },
    linked: (isUp) => {
      unlinked?.clear();
      unlinked =
        isUp || open.size === 0 ? undefined : clock.timer(UNLINKED_MS, () => stopAll("the hub is out of reach"));
    },
    run: (signal) =>
      new Promise((resolve) => {
        const end = async () => {
          unlinked?.clear();
          stopAll("the agent ends");
          await Promise.all([...open.values()].map(({ done }) => done));
          resolve();
        };
        signal.addEventListener("abort", () => void end(), { once: true });
        if (signal.aborted) void end();
      }),
  };
}

/** The hub may name another of its machines, where the reader is. Never one that could be listened to where the hub cannot. */
function uploadUrl({ hub, boxId }: LogStreamsOptions, { stream, url }: LogCommandArgs): URL {
  const own = new URL(boxAddress(hub, boxId, `log-streams/${encodeURIComponent(stream)}`));
  const target = url === undefined ? own : new URL(url);
  const isSafe = target.protocol === "https:" || (target.protocol === "http:" && own.protocol === "http:");
  if (isSafe && target.username === "") return target;
  throw new AppError("refused", `url: given an address with ${target.protocol}; allowed: ${own.protocol}`, {
    field: "url",
  });
}

/** The log as NDJSON, in pieces of about 64 KiB, not faster than the bound. */
async function* ndjson(
  args: LogCommandArgs,
  path: string,
  { clock, redact, ledger }: LogStreamsDeps,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const wish = {
    path,
    source: args.workload ?? "agent",
    lines: Math.min(Math.max(0, args.tail), MAX_TAIL_LINES),
    follow: args.follow,
    sinceMs: args.since === undefined ? undefined : Date.parse(args.since),
    output: args.output,
  };
  for await (const records of withIdleTurns(readRecords(wish, { clock, redact, ledger }, signal), clock, signal)) {
    const piece = toNdjson(records);
    yield piece === "" ? "\n" : piece;
    const pauseMs = (Buffer.byteLength(piece) * 1000) / BYTES_PER_SECOND;
    if (pauseMs > 10) await clock.delay(pauseMs, signal).catch(() => undefined);
    if (signal.aborted) return;
  }
  if (!signal.aborted) yield toNdjson([{ type: "end", reason: "all was read" }]);
}

/** What `source` brings, and nothing, as a turn of its own, whenever it has brought nothing for a while. */
async function* withIdleTurns(
  source: AsyncGenerator<readonly LogRecord[]>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<readonly LogRecord[]> {
  let next = source.next();
  try {
    while (!signal.aborted) {
      const waited = new AbortController();
      const idle = clock.delay(IDLE_MS, AbortSignal.any([signal, waited.signal])).then(
        () => "idle" as const,
        () => "over" as const,
      );
      const outcome = await Promise.race([next, idle]);
      waited.abort();
      if (outcome === "over") return;
      if (outcome === "idle") {
        yield [];
        continue;
      }
      if (outcome.done === true) return;
      yield outcome.value;
      next = source.next();
    }
  } finally {
    next.catch(() => undefined);
    void source.return(undefined);
  }
}
