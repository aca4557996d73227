import { randomUUID } from "node:crypto";
import { fullJitterMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { HttpFetch, HttpResponse } from "../base/http-fetch.ts";
import type { Random } from "../base/random.ts";
import { type ErrorCode, toAppError } from "../contract/error-code.ts";
import { toAnsweredError, toConnectionError } from "./hub-error.ts";
import { createSseDecoder, type SseMessage } from "./sse-decoder.ts";

export interface HubEndpoint {
  /** `https://hub.example:8443`, a path before `/v1` allowed. */
  readonly hub: string;
  readonly token: string | undefined;
  /** PEM certificates that the hub's must lead to; the system's authorities when left out. */
  readonly ca?: string | undefined;
}

export interface HubTransportDeps {
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  readonly random: Random;
}

export interface HubCall {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From `/v1` on, its parts already encoded (`hubPath`). */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  /** The change is made only if the thing still is at this revision: `conflict` otherwise. */
  readonly ifRevision?: number | undefined;
}

/** A schema of the contract. */
export interface AnswerSchema<T> {
  safeParse(value: unknown): { readonly success: true; readonly data: T } | { readonly success: false };
}

/** Requests to one hub. Rejects with `AppError`s that carry the hub's own code; `unavailable` when nothing answers. */
export interface HubTransport {
  ask<T>(call: HubCall, schema: AnswerSchema<T>, signal: AbortSignal): Promise<T>;
  /** For answers without a body. */
  tell(call: HubCall, signal: AbortSignal): Promise<void>;
  /** A file: what its head says of it, and its bytes, which reject when they end before their time or the hub falls silent. */
  download(call: HubCall, signal: AbortSignal): Promise<Download>;
  /** The messages of one event stream, until it ends, breaks off (`unavailable`) or the signal aborts (it then ends). */
  listen(call: HubCall & { readonly lastEventId?: string }, signal: AbortSignal): AsyncGenerator<SseMessage>;
}

export interface Download {
  /** As promised; undefined when the hub did not say. */
  readonly bytes: number | undefined;
  readonly header: (name: string) => string | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Of what a retry may mend, what is over soon. */
const RETRIED: ReadonlySet<ErrorCode> = new Set(["unavailable", "store-unavailable", "rate-limited", "exhausted"]);
const TRIES = 3;
const RETRY = { baseMs: 400, maxMs: 2000 } as const;
/** What a hub asks to wait longer for is told, not waited for: a person sits there. */
const LONGEST_WAIT_MS = 5000;
const ANSWER_TIMEOUT_MS = 30_000;
const SILENCE_MS = 45_000;
/** To the first byte of a file that is made when it is asked for. */
const DOWNLOAD_WAIT_MS = 600_000;
const MAX_ANSWER_CHARACTERS = 64 * 1024 * 1024;

/**
 * Every change carries an `Idempotency-Key`, so that all calls may be sent again: after a connection that broke, and where
 * the hub says that it could not.
 */
export function createHubTransport({ hub, token }: HubEndpoint, deps: HubTransportDeps): HubTransport {
  const { fetch, clock, random } = deps;
  const base = hub.replace(/\/+$/, "");

  const attempt = async (call: HubCall, headers: Record<string, string>, signal: AbortSignal) => {
    const url = new URL(`${base}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    let response: HttpResponse;
    try {
      response = await fetch(url, {
        method: call.method ?? "GET",
        headers,
        redirect: "manual",
        signal,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
    } catch (error) {
      throw toConnectionError(error, base);
    }
    if (response.ok) return response;
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      const place = response.headers.get("location") ?? "elsewhere";
      throw new AppError("config", `${base} is no hub: it redirects to ${place}; log in with the hub's own address`);
    }
    throw toAnsweredError(response.status, parseJson(await readText(response, base)), base);
  };

  const headersOf = (call: HubCall, accept: string): Record<string, string> => ({
    accept,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(call.body === undefined ? {} : { "content-type": "application/json" }),
    ...((call.method ?? "GET") === "GET" ? {} : { "idempotency-key": randomUUID() }),
    ...(call.ifRevision === undefined ? {} : { "if-match": `"${call.ifRevision}"` }),
  });

  const send = async (call: HubCall, signal: AbortSignal): Promise<string> => {
    const headers = headersOf(call, "application/json");
    for (let tried = 1; ; tried++) {
      const limit = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      try {
        const response = await attempt(call, headers, AbortSignal.any([signal, limit]));
        return await readText(response, base);
      } catch (thrown) {
        if (signal.aborted) throw new AppError("cancelled", "interrupted", { cause: thrown });
        const error = limit.aborted
          ? new AppError("timeout", `the hub at ${base} did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`)
          : toAppError(thrown);
        const waitMs = Math.max(error.retryAfterMs ?? 0, fullJitterMs(tried - 1, RETRY, random));
        const isWorthIt = RETRIED.has(error.code);
        if (!isWorthIt || tried === TRIES || limit.aborted || waitMs > LONGEST_WAIT_MS) throw error;
        await clock.delay(waitMs, signal);
      }
    }
  };

  return {
    async ask(call, schema, signal) {
      const text = await send(call, signal);
      const parsed = schema.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      throw new AppError(
        "version",
        `the answer of ${base} to ${call.path} is not understood: is it a hub of our version?`,
      );
    },
    async tell(call, signal) {
      await send(call, signal);
    },
    async download(call, signal) {
      const silence = createSilenceLimit(clock, base, DOWNLOAD_WAIT_MS);
      const life = AbortSignal.any([signal, silence.signal]);
      const explain = (thrown: unknown) => {
        silence.end();
        if (signal.aborted) return new AppError("cancelled", "interrupted", { cause: thrown });
        return toConnectionError(silence.signal.aborted ? silence.signal.reason : thrown, base);
      };
      try {
        const { headers, body } = await attempt(call, headersOf(call, "*/*"), life);
        const length = headers.get("content-length");
        return {
          bytes: length === null ? undefined : Number(length),
          header: (name) => headers.get(name) ?? undefined,
          chunks: heard(body, { silence, explain }),
        };
      } catch (thrown) {
        throw explain(thrown);
      }
    },
    async *listen(call, signal) {
      const headers = headersOf(call, "text/event-stream");
      if (call.lastEventId !== undefined) headers["last-event-id"] = call.lastEventId;
      const decoder = createSseDecoder();
      const decode = new TextDecoder();
      const silence = createSilenceLimit(clock, base);
      try {
        const response = await attempt(call, headers, AbortSignal.any([signal, silence.signal]));
        silence.heard();
        for await (const bytes of response.body ?? []) {
          silence.heard();
          yield* decoder.push(decode.decode(bytes, { stream: true }));
        }
      } catch (error) {
        if (!signal.aborted) throw toConnectionError(silence.signal.aborted ? silence.signal.reason : error, base);
      } finally {
        silence.end();
      }
    },
  };
}

type SilenceLimit = ReturnType<typeof createSilenceLimit>;

async function* heard(
  body: HttpResponse["body"],
  { silence, explain }: { readonly silence: SilenceLimit; readonly explain: (thrown: unknown) => AppError },
): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of body ?? []) {
      silence.heard();
      yield bytes;
    }
  } catch (thrown) {
    throw explain(thrown);
  } finally {
    silence.end();
  }
}

/** A hub lets nobody wait for 15 s without a beat: a connection that is silent for so long is dead. */
function createSilenceLimit(clock: Clock, base: string, firstMs = SILENCE_MS) {
  const limit = new AbortController();
  const arm = (ms = SILENCE_MS) =>
    clock.timer(ms, () => {
      limit.abort(new AppError("unavailable", `nothing was heard from ${base} for ${ms / 1000} s`));
    });
  let timer = arm(firstMs);
  return {
    signal: limit.signal,
    heard: () => {
      timer.clear();
      timer = arm();
    },
    end: () => timer.clear(),
  };
}

/** A path with its parts encoded: `hubPath("boxes", "a b")` is `/v1/boxes/a%20b`. */
export function hubPath(...parts: readonly string[]): string {
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}

async function readText(response: HttpResponse, base: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const bytes of response.body ?? []) {
      text += decoder.decode(bytes, { stream: true });
      if (text.length > MAX_ANSWER_CHARACTERS) throw new AppError("too-large", `the answer of ${base} has no end`);
    }
  } catch (error) {
    throw toConnectionError(error, base);
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
