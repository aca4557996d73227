import { AppError } from "../../base/errors.ts";
import type { HttpFetch, HttpResponse } from "../../base/http-fetch.ts";

export interface DialRequest {
  readonly url: URL;
  readonly authorization: string | undefined;
  /** The id to resume after. Left out where a header cannot carry it. */
  readonly lastEventId: string | undefined;
  readonly signal: AbortSignal;
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const MAX_REDIRECTS = 10;
/** A header's value in bytes: no control character but the tab (RFC 9110 §5.5). */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]{1,1024}$/;

/**
 * Asks for an event stream and follows redirects. The credential goes to the origin it was given for and nowhere else:
 * once a redirect leaves that origin it is gone, even if a later one leads back. Rejects with `unavailable`.
 */
export async function dial(request: DialRequest, fetch: HttpFetch): Promise<HttpResponse> {
  const headers: Record<string, string> = { accept: "text/event-stream", "cache-control": "no-store" };
  if (request.authorization !== undefined) headers["authorization"] = request.authorization;
  const lastEventId = Buffer.from(request.lastEventId ?? "", "utf8").toString("latin1");
  if (HEADER_VALUE.test(lastEventId)) headers["last-event-id"] = lastEventId;

  let url = request.url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await fetch(url, { headers, redirect: "manual", signal: request.signal });
    if (!REDIRECTS.includes(response.status)) return response;
    await response.body?.cancel();
    const target = redirectTarget(url, response);
    if (target.origin !== request.url.origin) delete headers["authorization"];
    url = target;
  }
  throw new AppError("unavailable", `more than ${MAX_REDIRECTS} redirects`);
}

function redirectTarget(from: URL, response: HttpResponse): URL {
  const location = response.headers.get("location");
  const target = location !== null && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (target === undefined) throw new AppError("unavailable", `HTTP ${response.status} without an address to go to`);
  if (target.protocol !== "https:" && (target.protocol !== "http:" || from.protocol === "https:")) {
    throw new AppError("unavailable", `redirect from ${from.protocol} to ${target.protocol} not followed`);
  }
  target.username = "";
  target.password = "";
  return target;
}
