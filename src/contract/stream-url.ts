/** A URL taken apart the way FFmpeg takes it apart, so that what was checked is what will be opened. */
export interface StreamUrl {
  /** As given; this is what FFmpeg gets. */
  readonly text: string;
  /** Lower case. A plain absolute path counts as `file`. */
  readonly scheme: string;
  /** Everything before the last `@` of the authority, as written. */
  readonly userinfo: string | undefined;
  /** Lower case, without brackets; empty where the URL names none (`udp://:5000`, files, `test`). */
  readonly host: string;
  readonly port: number | undefined;
  /** With its leading slash. For `file`: the path as the disk knows it, nothing decoded. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
}

export type ParsedUrl =
  | { readonly ok: true; readonly url: StreamUrl }
  | { readonly ok: false; readonly problem: string };

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the purpose
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const SCHEME = /^([a-z][a-z0-9+.-]*):/;
/** Printable ASCII without what FFmpeg and other parsers read differently. */
const URL_CHARACTERS = /^[!#-;=?-[\]_a-z{-~]+$/;
const AUTHORITY = /^\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/;
const HOST = /^(?:(\[[0-9a-f:.]+\])|([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?))?(?::(\d{1,5}))?$/i;
/** Schemes that may leave the host out: they can listen or bind to every address. */
const HOSTLESS = new Set(["udp", "rtp", "srt"]);

/** Problems never repeat the URL: it may hold a secret. */
export function parseStreamUrl(text: string): ParsedUrl {
  if (text.startsWith("-")) return problem("must not begin with a dash");
  if (CONTROL_CHARACTERS.test(text)) return problem("must not contain control characters");
  if (text.startsWith("/")) return parseFile(text, text);
  const scheme = SCHEME.exec(text)?.[1];
  if (scheme === undefined) {
    return problem("must be a URL with a scheme in lower case (rtsp://…) or an absolute path");
  }
  const rest = text.slice(scheme.length + 1);
  if (scheme === "file") return parseFile(text, rest.startsWith("//") ? rest.slice(2) : rest);
  if (!URL_CHARACTERS.test(text))
    return problem("must be printable ASCII without spaces, quotes, < > ` ^ or backslashes");
  const match = AUTHORITY.exec(rest);
  if (match === null) return problem(`must begin with ${scheme.slice(0, 20)}://`);
  const [, authority = "", path = "", query = "", fragment] = match;
  if (fragment !== undefined) return problem("must not have a # part: write # as %23");
  const at = authority.lastIndexOf("@");
  const host = HOST.exec(authority.slice(at + 1));
  if (host === null) return problem("names no valid host and port");
  const [, bracketed, name, digits] = host;
  const port = digits === undefined ? undefined : Number(digits);
  if (port !== undefined && (port < 1 || port > 65_535)) return problem("port must be 1 to 65535");
  const hostname = (bracketed === undefined ? (name ?? "") : bracketed.slice(1, -1)).toLowerCase();
  if (hostname === "" && !HOSTLESS.has(scheme)) return problem("names no host");
  const userinfo = at < 0 ? undefined : authority.slice(0, at);
  return { ok: true, url: { text, scheme, userinfo, host: hostname, port, path, query } };
}

function parseFile(text: string, path: string): ParsedUrl {
  if (!path.startsWith("/")) return problem("a file must be an absolute path (/srv/… or file:///srv/…)");
  if (path.split("/").some((segment) => segment === "..")) return problem("a file path must not contain ..");
  const url = { text, scheme: "file", userinfo: undefined, host: "", port: undefined, path, query: "" };
  return { ok: true, url };
}

function problem(text: string): ParsedUrl {
  return { ok: false, problem: text };
}
