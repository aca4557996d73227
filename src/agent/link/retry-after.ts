import type { HttpHeaders } from "../../base/http-fetch.ts";
/**
 * `Retry-After` (RFC 9110 §10.2.3) in milliseconds: whole seconds, or an HTTP date. A date is measured against the
 * answer's own `Date` where there is one, because a box's wall clock may be years off. `undefined` when absent or not understood.
 */
export function parseRetryAfter(headers: HttpHeaders, wallMs: number): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // Date.parse takes much that is no date of HTTP's: `-5` is a month to it.
  if (!/^[A-Z][a-z]{2},? /.test(value)) return undefined;
  const atMs = Date.parse(value);
  if (Number.isNaN(atMs)) return undefined;
  const serverNowMs = Date.parse(headers.get("date") ?? "");
  return Math.max(0, atMs - (Number.isNaN(serverNowMs) ? wallMs : serverNowMs));
}
