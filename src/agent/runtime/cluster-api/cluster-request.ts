import type { Clock } from "../../../base/clock.ts";
import type { HttpResponse } from "../../../base/http-fetch.ts";
import { type HttpBounds, openPieces, readText, withinBounds } from "../bounded-http.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { toClusterAwayError, toClusterError } from "./cluster-problem.ts";

export interface ClusterCall {
  readonly method: "GET" | "PATCH" | "DELETE";
  /** `/apis/apps/v1/namespaces/apps/deployments`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** Of the body: which kind of patch it is. Absent: JSON. */
  readonly contentType?: string;
  /** Until the whole answer, or until its head where it is a stream. */
  readonly limitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Statuses that are no error beside those below 300. */
  readonly accepts?: readonly number[];
}

export interface ClusterRequest {
  ask(call: ClusterCall): Promise<{ readonly status: number; readonly text: string }>;
  /** An answer that is read as it comes. Its bytes end with the signal, or when the reader leaves. */
  open(call: ClusterCall): Promise<AsyncIterable<Uint8Array>>;
}

const LIMIT_MS = 20_000;
const MAX_ATTEMPTS = 5;
/** Where the API server does not say how long. */
const AGAIN_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * Asks one API server. Everything rejects with an `AppError`, or with the signal's reason once that has aborted. What was not
 * carried out is asked again within the call's limit: what the server says it is too busy for, a patch that crossed another, and
 * once what it was shown an old token for.
 */
export function createClusterRequest(
  place: string,
  deps: { readonly access: ClusterAccess; readonly clock: Clock },
): ClusterRequest {
  const { access, clock } = deps;

  const sendOnce = async (call: ClusterCall, signal: AbortSignal): Promise<HttpResponse> => {
    const { server, token, fetch } = access.current();
    const url = new URL(`${server.pathname.replace(/\/+$/, "")}${call.path}`, server);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    return fetch(url, {
      method: call.method,
      headers: {
        accept: "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      redirect: "manual",
      signal,
    });
  };

  const send = async (call: ClusterCall, signal: AbortSignal): Promise<HttpResponse> => {
    for (let attempt = 1; ; attempt += 1) {
      const response = await sendOnce(call, signal);
      const { status } = response;
      if (response.ok || call.accepts?.includes(status) === true) return response;
      const text = await readText(response);
      const waitMs = attempt < MAX_ATTEMPTS ? pauseOf(call, { status, attempt, response }) : undefined;
      if (waitMs === undefined) throw toClusterError({ status, text }, `${place}, ${call.method} ${call.path}`);
      if (status === 401) access.renew();
      await clock.delay(waitMs, signal);
    }
  };

  const boundsOf = (call: ClusterCall): HttpBounds => ({
    clock,
    limitMs: call.limitMs ?? LIMIT_MS,
    signal: call.signal,
    what: `${call.method} ${call.path}`,
    place,
    toAwayError: (thrown) => toClusterAwayError(thrown, place),
  });

  return {
    ask: (call) =>
      withinBounds(boundsOf(call), async (signal) => {
        const response = await send(call, signal);
        return { status: response.status, text: await readText(response) };
      }),
    open: (call) => openPieces(boundsOf(call), (signal) => send(call, signal)),
  };
}

/** After which pause the same is asked again; undefined: it would be answered the same. */
function pauseOf(
  { method }: ClusterCall,
  { status, attempt, response }: { readonly status: number; readonly attempt: number; readonly response: HttpResponse },
): number | undefined {
  if (status === 401) return attempt === 1 ? 0 : undefined;
  if (status === 409) return method === "PATCH" ? AGAIN_MS : undefined;
  if (status !== 429) return undefined;
  const seconds = Number(response.headers.get("retry-after") ?? "");
  return seconds > 0 ? Math.min(seconds * 1000, LONGEST_WAIT_MS) : AGAIN_MS;
}
