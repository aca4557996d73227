import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";
import { createHttpFetch, type HttpFetch, type HttpResponse } from "../base/http-fetch.ts";
import { createLineBudget } from "../base/line-budget.ts";
import type { Log } from "../base/log.ts";
import { withinLimit } from "../base/within-limit.ts";
import { type Assignment, type AssignmentAsk, assignmentSchema } from "../contract/transfer/assignment.ts";
import { type PlanPageInput, planPageViewSchema } from "../contract/transfer/plan-page.ts";
import type { TransferEntry } from "../contract/transfer/transfer-entry.ts";
import {
  type ResultAnswer,
  resultAnswerSchema,
  type TransferResultInput,
} from "../contract/transfer/transfer-result.ts";
import type { WorkerCredentials } from "../contract/transfer/worker-config.ts";
import {
  type HeartbeatAnswer,
  heartbeatAnswerSchema,
  type WorkerHeartbeatInput,
} from "../contract/transfer/worker-heartbeat.ts";

/**
 * The worker's part of the hub's API. Rejects with the hub's status as `AppError`s: `unauthorized` where the box's key opens nothing (any
 * more), and `unavailable` where nobody answers.
 */
export interface HubLink {
  heartbeat(body: WorkerHeartbeatInput, signal: AbortSignal): Promise<HeartbeatAnswer>;
  /** Waits at the hub. */
  assignment(ask: AssignmentAsk, signal: AbortSignal): Promise<Assignment | undefined>;
  result(body: TransferResultInput, signal: AbortSignal): Promise<ResultAnswer["status"] | "gone">;
  /** `false`: the lease is not ours any more. */
  plan(body: PlanPageInput, signal: AbortSignal): Promise<boolean>;
  /** Fewer pages than were asked for may be answered. */
  pages(
    requestId: string,
    wanted: { readonly from: number; readonly count: number; readonly only: TransferEntry["type"] | undefined },
    signal: AbortSignal,
  ): Promise<{ readonly pages: number; readonly entries: readonly TransferEntry[] }>;
  /** By the hub's own clock, as far as it has told it. */
  nowSeconds(): number;
}

const ANSWER_MS = 15_000;
const WAIT_SECONDS = 20;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const WAIT_LINES_PER_MINUTE = 1;

export function createHubLink(
  workerId: string,
  deps: { readonly clock: Clock; readonly log: Log; readonly credentials: () => WorkerCredentials },
): HubLink {
  const { clock, log } = deps;
  /** Many requests are under way at a time, and each is asked again. */
  const waits = createLineBudget(WAIT_LINES_PER_MINUTE, clock);
  let offsetMs = 0;
  let trust: { readonly of: WorkerCredentials; readonly fetch: HttpFetch } | undefined;

  const fetchNow = () => {
    const credentials = deps.credentials();
    if (trust?.of !== credentials) {
      const { ca, client } = credentials;
      trust = { of: credentials, fetch: createHttpFetch({ ca, certificate: client && (() => client) }) };
    }
    return { fetch: trust.fetch, credentials };
  };

  const ask = async (
    call: { readonly method: "GET" | "POST"; readonly path: string; readonly body?: unknown; readonly waitMs?: number },
    signal: AbortSignal,
  ): Promise<{ readonly status: number; readonly value: unknown }> => {
    const { fetch, credentials } = fetchNow();
    const send = async (stop: AbortSignal) => {
      const response = await fetch(new URL(`${credentials.hub.replace(/\/+$/, "")}${call.path}`), {
        method: call.method,
        headers: {
          accept: "application/json",
          ...(call.body === undefined ? {} : { "content-type": "application/json" }),
          ...(credentials.key === undefined ? {} : { authorization: `Bearer ${credentials.key}` }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        redirect: "manual",
        signal: stop,
      });
      const date = Date.parse(response.headers.get("date") ?? "");
      if (!Number.isNaN(date)) offsetMs = date - clock.monotonicMs();
      const text = await readText(response);
      if (response.ok || response.status === 410) return { status: response.status, value: parse(text) };
      const isToWait = response.status === 429;
      if (isToWait) {
        waits.write(`The hub tells this worker to wait (429): ${problemOf(text)}. Attempts go on`, log.warn);
      }
      const isAway = response.status >= 500 || isToWait;
      const code = isAway ? "unavailable" : response.status === 401 ? "unauthorized" : "refused";
      throw new AppError(code, `HTTP ${response.status} of ${call.path}: ${problemOf(text)}`);
    };
    const late = () => new AppError("unavailable", "the hub does not answer");
    try {
      return await withinLimit({ ms: ANSWER_MS + (call.waitMs ?? 0), late, signal }, clock, send);
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof AppError) throw thrown;
      throw new AppError("unavailable", messageOf(thrown), { cause: thrown });
    }
  };

  return {
    heartbeat: async (body, signal) => {
      const { value } = await ask({ method: "POST", path: "/workers/heartbeat", body }, signal);
      return heartbeatAnswerSchema.parse(value);
    },
    assignment: async (body, signal) => {
      const path = `/workers/${encodeURIComponent(workerId)}/assignment?wait=${WAIT_SECONDS}`;
      const { value } = await ask({ method: "POST", path, body, waitMs: WAIT_SECONDS * 1000 }, signal);
      return value === null || value === undefined ? undefined : assignmentSchema.parse(value);
    },
    result: async (body, signal) => {
      const { status, value } = await ask({ method: "POST", path: "/workers/result", body }, signal);
      return status === 410 ? "gone" : resultAnswerSchema.parse(value).status;
    },
    plan: async (body, signal) => {
      const { status, value } = await ask({ method: "POST", path: "/workers/plan", body }, signal);
      return status !== 410 && resultAnswerSchema.parse(value).status !== "stale";
    },
    pages: async (requestId, { from, count, only }, signal) => {
      const query = `page=${from}${only === undefined ? "" : `&only=${only}`}`;
      const path = `/workers/plan/${encodeURIComponent(requestId)}?${query}`;
      const askFor = (pages: number) =>
        ask({ method: "GET", path: pages === 1 ? path : `${path}&pages=${pages}` }, signal);
      const { status, value } = await askFor(count).catch((thrown: unknown) => {
        // An earlier hub knows one page alone, and refuses the word.
        if (count > 1 && thrown instanceof AppError && thrown.code === "refused") return askFor(1);
        throw thrown;
      });
      if (status === 410) throw new AppError("cancelled", "the request is not there any more");
      return planPageViewSchema.parse(value);
    },
    nowSeconds: () => Math.floor((offsetMs === 0 ? clock.wallMs() : offsetMs + clock.monotonicMs()) / 1000),
  };
}

async function readText(response: HttpResponse): Promise<string> {
  if (response.body === null) return "";
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body) {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) throw new AppError("unavailable", "the hub's answer has no end");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("unavailable", "the answer is no JSON: captive portal or wrong address?");
  }
}

function problemOf(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    const error = typeof body === "object" && body !== null && "error" in body ? body.error : undefined;
    if (typeof error === "object" && error !== null && "message" in error) return String(error.message);
  } catch {
    // Not a hub's.
  }
  return text.slice(0, 200);
}
