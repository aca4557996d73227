import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import { withinLimit } from "../../base/within-limit.ts";
import type { Report } from "../../contract/report.ts";
import type { ReportDelta } from "../../contract/report-delta.ts";
import { codeOf, parseJson, problemOf, readBoundedText } from "../link/problem-body.ts";
import { parseRetryAfter } from "../link/retry-after.ts";

export interface PostRequest {
  readonly url: URL;
  readonly authorization: string | undefined;
  readonly report: Report | ReportDelta;
  /** From the dial to the end of the answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export type PostAnswer =
  | {
      readonly isDelivered: true;
      /** It is the hub's latest now, and a delta may build on it. */
      readonly isBase: boolean;
    }
  | {
      readonly isDelivered: false;
      readonly status: number;
      readonly retryAfterMs: number | undefined;
      /** What a hub says is wrong. */
      readonly problem: string | undefined;
      /** The hub does not have the base of this delta. */
      readonly wantsWhole: boolean;
    };

/** An answer is read within this bound, so that the connection can be used again. */
const MAX_ANSWER_BYTES = 65_536;

/** Sends one report. A redirect is not followed: it would carry the report to where nobody sent it. Rejects when no answer came. */
export async function postReport(
  request: PostRequest,
  deps: { readonly fetch: HttpFetch; readonly clock: Clock },
): Promise<PostAnswer> {
  const late = () => new AppError("timeout", `no answer within ${request.timeoutMs / 1000} s`);
  const limit = { ms: request.timeoutMs, late, signal: request.signal };
  return withinLimit(limit, deps.clock, async (signal) => {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (request.authorization !== undefined) headers["authorization"] = request.authorization;
    const response = await deps.fetch(request.url, {
      method: "POST",
      headers,
      body: JSON.stringify(request.report),
      redirect: "manual",
      signal,
    });
    const text = await readBoundedText(response, MAX_ANSWER_BYTES);
    if (response.ok) return { isDelivered: true, isBase: isBaseAnswer(text) };
    const { status, headers: given } = response;
    const retryAfterMs = parseRetryAfter(given, deps.clock.wallMs());
    return {
      isDelivered: false,
      status,
      retryAfterMs,
      problem: problemOf(text),
      wantsWhole: codeOf(text) === "base-unknown",
    };
  });
}

/** A hub that takes deltas says so; of any other server the body means nothing. */
function isBaseAnswer(text: string): boolean {
  const body = parseJson(text);
  if (typeof body !== "object" || body === null || !("answer" in body) || !("deltas" in body)) return false;
  return body.answer === "accepted" && body.deltas === true;
}
