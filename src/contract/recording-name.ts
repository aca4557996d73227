import { basename, dirname, join } from "node:path/posix";
import { parseStreamUrl } from "./stream-url.ts";

/** Where a recording goes and how its files are called. */
export interface RecordingPath {
  readonly directory: string;
  /** File name with `strftime` fields, unique to the second. */
  readonly pattern: string;
  /** FFmpeg's name of the container. */
  readonly container: string;
}

export type ParsedRecordingPath =
  | { readonly ok: true; readonly recording: RecordingPath }
  | { readonly ok: false; readonly problem: string };

const CONTAINERS: Readonly<Record<string, string>> = { mkv: "matroska", mp4: "mp4", ts: "mpegts", flv: "flv" };
/** Local date and time fields and how each is recognized in a file name. */
const FIELDS: Readonly<Record<string, string>> = {
  Y: "\\d{4}",
  m: "\\d{2}",
  d: "\\d{2}",
  H: "\\d{2}",
  M: "\\d{2}",
  S: "\\d{2}",
  j: "\\d{3}",
  s: "\\d+",
};
const DEFAULT_NAME = "%Y%m%d-%H%M%S.mkv";

/**
 * A directory (trailing slash) gets names of its own. A name that does not tell the second gets date and time before its
 * extension, so that a restart never writes over what was recorded.
 */
export function parseRecordingPath(path: string): ParsedRecordingPath {
  const directory = path.endsWith("/") ? path.replace(/\/+$/, "") || "/" : dirname(path);
  const name = path.endsWith("/") ? DEFAULT_NAME : basename(path);
  if (directory.includes("%")) return { ok: false, problem: "must have % only in the file name, not in a directory" };
  const extension = /\.([a-z0-9]+)$/.exec(name)?.[1] ?? "";
  const container = CONTAINERS[extension];
  if (container === undefined) {
    const known = Object.keys(CONTAINERS).map((known) => `.${known}`);
    return { ok: false, problem: `must end in ${known.join(", ")} (a recording), .m3u8 (HLS) or / (a directory)` };
  }
  if ([...name.matchAll(/%(.?)/g)].some(([, field]) => field === undefined || !(field in FIELDS))) {
    return {
      ok: false,
      problem: `may use only ${Object.keys(FIELDS)
        .map((field) => `%${field}`)
        .join(" ")}`,
    };
  }
  const stem = name.slice(0, -extension.length - 1);
  const pattern = /%[Ss]/.test(name) ? name : `${stem}-%Y%m%d-%H%M%S.${extension}`;
  return { ok: true, recording: { directory, pattern, container } };
}

/** Matches the names that the pattern makes, and no others. */
export function recordingNameMatcher(pattern: string): RegExp {
  const source = pattern
    .split(/(%[A-Za-z])/)
    .map((part) => (part.startsWith("%") ? (FIELDS[part.slice(1)] ?? "") : part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")))
    .join("");
  return new RegExp(`^${source}$`);
}

/** What FFmpeg gets: the pattern inside its directory. */
export function recordingTarget(recording: RecordingPath): string {
  return join(recording.directory, recording.pattern);
}

/** Of an output that is recorded to files of its own; `undefined` for a playlist and for all that goes elsewhere. */
export function recordingOf({ url }: { readonly url: string }): RecordingPath | undefined {
  const parsed = parseStreamUrl(url);
  if (!parsed.ok || parsed.url.scheme !== "file" || parsed.url.path.endsWith(".m3u8")) return undefined;
  const path = parseRecordingPath(parsed.url.path);
  return path.ok ? path.recording : undefined;
}
