import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import { withinLimit } from "../../base/within-limit.ts";
import type { ErrorCode } from "../../contract/error-code.ts";
import { problemOf, readBoundedText } from "../link/problem-body.ts";
import { parseRetryAfter } from "../link/retry-after.ts";

export interface HubRequest {
  readonly method: "POST" | "PUT";
  readonly url: string;
  readonly body: unknown;
  /** The key of the box; absent where the hub does not know it yet. */
  readonly key: string | undefined;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 65_536;
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: "invalid",
  401: "unauthorized",
  403: "refused",
  404: "not-found",
  409: "conflict",
};

/**
 * One small request to the hub. Resolves with the answer's JSON (`undefined` where there is none); rejects with what the hub
 * says is wrong, by its status, and with `unavailable` or the system's error when no answer of a hub comes.
 */
export async function askHub(
  request: HubRequest,
  deps: { readonly fetch: HttpFetch; readonly clock: Clock },
): Promise<unknown> {
  const late = () => new AppError("timeout", `no answer within ${TIMEOUT_MS / 1000} s`);
  return withinLimit({ ms: TIMEOUT_MS, late, signal: request.signal }, deps.clock, async (signal) => {
    const response = await deps.fetch(new URL(request.url), {
      method: request.method,
      headers: {
        accept: "application/json",
        "content-type": "application/json",
        ...(request.key === undefined ? {} : { authorization: `Bearer ${request.key}` }),
      },
      body: JSON.stringify(request.body),
      redirect: "manual",
      signal,
    });
    const text = await readBoundedText(response, MAX_ANSWER_BYTES);
    if (response.ok) return text === "" ? undefined : parseJson(text);
    const problem = problemOf(text);
    const retryAfterMs = parseRetryAfter(response.headers, deps.clock.wallMs());
    throw new AppError(
      CODES[response.status] ?? "unavailable",
      `HTTP ${response.status}${problem === undefined ? "" : `: ${problem}`}`,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("unavailable", "the answer is no JSON: captive portal or wrong address?");
  }
}
