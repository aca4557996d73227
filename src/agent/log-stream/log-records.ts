import type { LogRecord, OutputName } from "../../contract/fleet/log-line.ts";
import { parseSessionLine } from "../runtime/output/session-line.ts";

export interface LogRecordOptions {
  /** `agent`, or the id of a workload. */
  readonly source: string;
  /** Wall time; lines before it are left out. A line without a time is as old as the one before it. */
  readonly sinceMs: number | undefined;
  /** Of a session: lines of the other one are left out. */
  readonly output?: OutputName | undefined;
}

/** Makes records of a log's text, whatever its pieces are. Holds at most one line's beginning. */
export interface LogRecords {
  push(text: string): LogRecord[];
  /** What has no line end yet. */
  end(): LogRecord[];
}

/** A line longer than this is cut, and what is missing of it is told as a gap. */
export const MAX_TEXT_CHARACTERS = 8192;
/** A session's lines are cut into pieces where they are written; a byte that is no text has four characters there. */
const MAX_SESSION_LINE_CHARACTERS = 40_960;

export function createLogRecords({ source, sinceMs, output }: LogRecordOptions): LogRecords {
  let held = "";
  let cutBytes = 0;
  let lastMs: number | undefined;

  const add = (part: string) => {
    const room = MAX_SESSION_LINE_CHARACTERS - held.length;
    held += part.slice(0, room);
    if (part.length > room) cutBytes += Buffer.byteLength(part.slice(room));
  };

  const complete = (): LogRecord[] => {
    const text = held.endsWith("\r") ? held.slice(0, -1) : held;
    const bytes = cutBytes;
    held = "";
    cutBytes = 0;
    const ms = timeOf(text);
    lastMs = ms ?? lastMs;
    if (sinceMs !== undefined && lastMs !== undefined && lastMs < sinceMs) return [];
    const at = ms === undefined ? {} : { at: new Date(ms).toISOString() };
    const ofSession = ms === undefined ? undefined : parseSessionLine(text.slice(TIME_CHARACTERS));
    if (ofSession === undefined) return plainRecords(text, bytes, at);
    if ("reason" in ofSession) return [{ type: "gap", ...at, ...ofSession }];
    if (output !== undefined && ofSession.output !== output) return [];
    const { continues, ...line } = ofSession;
    return [{ type: "line", ...at, source, ...line, ...(continues ? { continues } : {}) }];
  };

  const plainRecords = (text: string, cut: number, at: { readonly at?: string }): LogRecord[] => {
    const shown = text.slice(0, MAX_TEXT_CHARACTERS);
    const bytes = cut + Buffer.byteLength(text.slice(MAX_TEXT_CHARACTERS));
    const line: LogRecord = { type: "line", ...at, source, text: shown };
    return bytes === 0 ? [line] : [line, { type: "gap", bytes, reason: "a line was too long" }];
  };

  return {
    push: (text) => {
      const records: LogRecord[] = [];
      let from = 0;
      for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
        add(text.slice(from, at));
        records.push(...complete());
        from = at + 1;
      }
      add(text.slice(from));
      return records;
    },
    end: () => (held === "" ? [] : complete()),
  };
}

const TIME_CHARACTERS = "[2026-01-15 10:30:45] ".length;

/** Every line of ours begins with its local time: `[2026-01-15 10:30:45]`. */
function timeOf(line: string): number | undefined {
  const [, day, time] = /^\[(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\]/.exec(line) ?? [];
  const ms = Date.parse(`${day}T${time}`);
  return Number.isNaN(ms) ? undefined : ms;
}
