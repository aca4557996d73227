import type { LogRecord } from "../../contract/fleet/log-line.ts";

export interface LogRecordOptions {
  /** `agent`, or the id of a workload. */
  readonly source: string;
  /** Wall time; lines before it are left out. A line without a time is as old as the one before it. */
  readonly sinceMs: number | undefined;
}

/** Makes records of a log's text, whatever its pieces are. Holds at most one line's beginning. */
export interface LogRecords {
  push(text: string): LogRecord[];
  /** What has no line end yet. */
  end(): LogRecord[];
}

/** A line longer than this is cut, and what is missing of it is told as a gap. */
export const MAX_TEXT_CHARACTERS = 8192;

export function createLogRecords({ source, sinceMs }: LogRecordOptions): LogRecords {
  let held = "";
  let cutBytes = 0;
  let lastMs: number | undefined;

  const add = (part: string) => {
    const room = MAX_TEXT_CHARACTERS - held.length;
    held += part.slice(0, room);
    if (part.length > room) cutBytes += Buffer.byteLength(part.slice(room));
  };

  const complete = (): LogRecord[] => {
    const text = held.endsWith("\r") ? held.slice(0, -1) : held;
    const bytes = cutBytes;
    held = "";
    cutBytes = 0;
    lastMs = timeOf(text) ?? lastMs;
    if (sinceMs !== undefined && lastMs !== undefined && lastMs < sinceMs) return [];
    const at = timeOf(text);
    const line: LogRecord = {
      type: "line",
      ...(at === undefined ? {} : { at: new Date(at).toISOString() }),
      source,
      text,
    };
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

/** Every line of ours begins with its local time: `[2026-01-15 10:30:45]`. */
function timeOf(line: string): number | undefined {
  const [, day, time] = /^\[(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\]/.exec(line) ?? [];
  const ms = Date.parse(`${day}T${time}`);
  return Number.isNaN(ms) ? undefined : ms;
}
