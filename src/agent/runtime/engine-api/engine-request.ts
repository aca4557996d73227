import type { Clock } from "../../../base/clock.ts";
import type { HttpFetch, HttpResponse } from "../../../base/http-fetch.ts";
import { type HttpBounds, openPieces, readText, withinBounds } from "../bounded-http.ts";
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

const LIMIT_MS = 20_000;
const VERSION = "v1.41";

/** Asks one engine. Everything rejects with an `AppError`, or with the signal's reason once that has aborted. */
export function createEngineRequest(
  address: EngineAddress,
  deps: { readonly fetch: HttpFetch; readonly clock: Clock },
): EngineRequest {
  const boundsOf = (call: EngineCall): HttpBounds => ({
    clock: deps.clock,
    limitMs: call.limitMs ?? LIMIT_MS,
    signal: call.signal,
    what: `${call.method} ${call.path}`,
    place: `${address.title} at ${address.socketPath}`,
    toAwayError: (thrown) => toAwayError(thrown, address),
  });

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
      withinBounds(boundsOf(call), async (signal) => {
        const response = await send(call, signal);
        const { status, headers } = response;
        return { status, text: await readText(response), server: headers.get("server") ?? "" };
      }),
    open: (call) => openPieces(boundsOf(call), (signal) => send(call, signal)),
  };
}
