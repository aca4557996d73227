import type { Clock } from "../../../base/clock.ts";
import { AppError } from "../../../base/errors.ts";
import type { HttpFetch, HttpResponse } from "../../../base/http-fetch.ts";
import { type EngineAddress, toAwayError, toEngineError } from "./engine-problem.ts";

export interface EngineCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** Behind the version: `/containers/json`. */
  readonly path: string;
  /** Absent: `v1.41`. */
  readonly version?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** Until the whole answer, or until its head where it is a stream. */
  readonly limitMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Statuses that are no error beside those below 300. */
  readonly accepts?: readonly number[];
}

export interface EngineAnswer {
  readonly status: number;
  readonly text: string;
  /** Who answered: `Docker/20.10.24 (linux)`. */
  readonly server: string;
}

export interface EngineRequest {
  /** The whole answer. */
  ask(call: EngineCall): Promise<EngineAnswer>;
  /** An answer that is read as it comes. Its bytes end with the signal, or when the reader leaves. */
  open(call: EngineCall): Promise<AsyncIterable<Uint8Array>>;
}

/** Lists of thousands of containers are smaller. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;
const LIMIT_MS = 20_000;
const VERSION = "v1.41";

/** Asks one engine. Everything rejects with an `AppError`, or with the signal's reason once that has aborted. */
export function createEngineRequest(
  address: EngineAddress,
  deps: { readonly fetch: HttpFetch; readonly clock: Clock },
): EngineRequest {
  const limited = async <T>(call: EngineCall, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const over = new AbortController();
    const limitMs = call.limitMs ?? LIMIT_MS;
    const late = new AppError(
      "timeout",
      `${address.title} at ${address.socketPath} did not answer ${call.method} ${call.path} within ${limitMs / 1000} s`,
    );
    const timer = deps.clock.timer(limitMs, () => over.abort(late));
    try {
      return await work(call.signal === undefined ? over.signal : AbortSignal.any([call.signal, over.signal]));
    } catch (thrown) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      if (over.signal.aborted) throw late;
      throw thrown instanceof AppError ? thrown : toAwayError(thrown, address);
    } finally {
      timer.clear();
    }
  };

  const send = async (call: EngineCall, signal: AbortSignal): Promise<HttpResponse> => {
    const url = new URL(`http://engine/${call.version ?? VERSION}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const response = await deps.fetch(url, {
      method: call.method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      ...(body === undefined ? {} : { body }),
      redirect: "manual",
      signal,
    });
    if (response.ok || call.accepts?.includes(response.status) === true) return response;
    const text = await readText(response);
    throw toEngineError({ status: response.status, text }, `${address.title}, ${call.method} ${call.path}`);
  };

  return {
    ask: (call) =>
      limited(call, async (signal) => {
        const response = await send(call, signal);
        const { status, headers } = response;
        return { status, text: await readText(response), server: headers.get("server") ?? "" };
      }),
    open: async (call) => {
      const leave = new AbortController();
      const life = call.signal === undefined ? leave.signal : AbortSignal.any([call.signal, leave.signal]);
      // The limit is for the head alone.
      const response = await limited(call, (stop) => {
        stop.addEventListener("abort", () => leave.abort(stop.reason), { once: true });
        return send(call, life);
      });
      return readPieces(response, { address, life, leave });
    },
  };
}

interface Reading {
  readonly address: EngineAddress;
  readonly life: AbortSignal;
  readonly leave: AbortController;
}

async function* readPieces(response: HttpResponse, { address, life, leave }: Reading): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of response.body ?? []) yield piece;
  } catch (thrown) {
    throw life.aborted ? life.reason : toAwayError(thrown, address);
  } finally {
    leave.abort();
  }
}

async function readText(response: HttpResponse): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) throw new AppError("too-large", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
