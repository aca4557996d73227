import type { StreamSpec } from "./stream-spec.ts";
import { parseStreamUrl, type StreamUrl } from "./stream-url.ts";

const MASK = "***";
/** Names of query values that open something. Compared without case, dashes and underscores. */
const SECRET_NAMES =
  /^(?:token|accesstoken|authtoken|key|apikey|streamkey|passphrase|auth|authorization|sig|signature|hmac|password|passwd|pass|pwd|secret|streamid|srtstreamid|jwt|policy|credential|hdnea|hdnts)$|^xamz/;

/** What of a spec must never be shown: values, and whole URLs with the form that may be shown. */
export interface StreamSecrets {
  readonly values: readonly string[];
  readonly urls: readonly { readonly url: string; readonly masked: string }[];
}

export type UrlRole = "input" | "output";

/** The form that people may see. What cannot be parsed is hidden but for its scheme. */
export function maskUrl(text: string, role: UrlRole): string {
  const parsed = parseStreamUrl(text);
  if (!parsed.ok) return `${/^[a-z][a-z0-9+.-]{0,20}:\/\//.exec(text)?.[0] ?? ""}${MASK}`;
  const { url } = parsed;
  if (url.scheme === "file" || url.scheme === "test") return text;
  const host = url.host.includes(":") ? `[${url.host}]` : url.host;
  const port = url.port === undefined ? "" : `:${url.port}`;
  const query = url.query === "" ? "" : `?${maskQuery(url.query)}`;
  return `${url.scheme}://${maskUserinfo(url.userinfo)}${host}${port}${maskPath(url, role)}${query}`;
}

/**
 * Every secret of a spec. A stream key that equals the workload's id, or that is an ordinary short word, is hidden inside
 * its URL only: as a value of its own it would blank out innocent text everywhere.
 */
export function streamSecrets(spec: StreamSpec, workloadId: string): StreamSecrets {
  const values = new Set<string>();
  const urls = new Map<string, string>();
  const places: readonly (readonly [string, UrlRole])[] = [
    [spec.input.url, "input"],
    ...spec.outputs.map(({ url }) => [url, "output"] as const),
  ];
  for (const [text, role] of places) {
    const masked = maskUrl(text, role);
    if (masked !== text) urls.set(text, masked);
    const parsed = parseStreamUrl(text);
    if (!parsed.ok) continue;
    for (const value of urlSecrets(parsed.url)) values.add(value);
    for (const [part, shown] of secretParts(parsed.url)) urls.set(part, shown);
    const key = role === "output" ? streamKeyOf(parsed.url) : undefined;
    for (const value of key === undefined ? [] : [key, lastSegment(key)]) {
      if (value !== workloadId && !/^[a-z]{1,8}$/.test(value)) for (const form of decodedForms(value)) values.add(form);
    }
  }
  values.delete(workloadId);
  return { values: [...values], urls: [...urls].map(([url, masked]) => ({ url, masked })) };
}

/** The part of an RTMP URL after its application: whoever knows it may publish. */
function streamKeyOf(url: StreamUrl): string | undefined {
  if (url.scheme !== "rtmp" && url.scheme !== "rtmps") return undefined;
  return /^\/[^/]+\/(.+)$/.exec(url.path)?.[1];
}

function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function urlSecrets(url: StreamUrl): string[] {
  const password = splitUserinfo(url.userinfo)?.password;
  const queryValues = queryPairs(url.query).flatMap(({ name, value }) => (isSecretName(name) ? [value] : []));
  return [...(password === undefined ? [] : [password]), ...queryValues]
    .filter((value) => value !== "")
    .flatMap(decodedForms);
}

/** Parts that FFmpeg repeats in other URLs (segments of a playlist, redirects): short passwords are found by their surroundings. */
function secretParts(url: StreamUrl): [string, string][] {
  const parts: [string, string][] = [];
  if (splitUserinfo(url.userinfo)?.password) parts.push([`//${url.userinfo}@`, `//${maskUserinfo(url.userinfo)}`]);
  for (const { name, value } of queryPairs(url.query)) {
    if (isSecretName(name) && value !== "") parts.push([`${name}=${value}`, `${name}=${MASK}`]);
  }
  return parts;
}

function maskPath(url: StreamUrl, role: UrlRole): string {
  const key = role === "output" ? streamKeyOf(url) : undefined;
  return key === undefined ? url.path : `${url.path.slice(0, url.path.length - key.length)}${MASK}`;
}

function maskUserinfo(userinfo: string | undefined): string {
  if (userinfo === undefined) return "";
  const split = splitUserinfo(userinfo);
  return split?.password === undefined ? `${userinfo}@` : `${split.user}:${MASK}@`;
}

function splitUserinfo(userinfo: string | undefined): { user: string; password: string | undefined } | undefined {
  if (userinfo === undefined) return undefined;
  const colon = userinfo.indexOf(":");
  return colon < 0
    ? { user: userinfo, password: undefined }
    : { user: userinfo.slice(0, colon), password: userinfo.slice(colon + 1) };
}

function maskQuery(query: string): string {
  return queryPairs(query)
    .map(({ name, value, text }) => (isSecretName(name) && value !== "" ? `${name}=${MASK}` : text))
    .join("&");
}

function queryPairs(query: string): { name: string; value: string; text: string }[] {
  if (query === "") return [];
  return query.split("&").map((text) => {
    const equals = text.indexOf("=");
    return equals < 0
      ? { name: text, value: "", text }
      : { name: text.slice(0, equals), value: text.slice(equals + 1), text };
  });
}

function isSecretName(name: string): boolean {
  return SECRET_NAMES.test(name.toLowerCase().replace(/[-_]/g, ""));
}

function decodedForms(value: string): string[] {
  try {
    const decoded = decodeURIComponent(value);
    return decoded === value ? [value] : [value, decoded];
  } catch {
    // Not valid percent-encoding, so there is no other form.
    return [value];
  }
}
