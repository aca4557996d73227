import type { Clock } from "../../src/base/clock.ts";
import { oneLine } from "../../src/base/log.ts";

export const LOG_KINDS = ["client", "command", "stream", "event", "fault", "report", "rtmp", "server"] as const;

export interface LogLine {
  readonly sequence: number;
  /** ISO 8601. */
  readonly at: string;
  readonly kind: (typeof LOG_KINDS)[number];
  readonly text: string;
}

/** What happened, for the person at the page and for tests: the last `keep` lines. */
export interface EventLog {
  write(kind: LogLine["kind"], text: string): void;
  /** Oldest first. */
  lines(): readonly LogLine[];
  onLine(listener: (line: LogLine) => void): void;
}

export function createEventLog(options: { readonly keep: number }, deps: { readonly clock: Clock }): EventLog {
  const lines: LogLine[] = [];
  const listeners = new Set<(line: LogLine) => void>();
  let sequence = 0;
  return {
    write: (kind, text) => {
      const line = { sequence: ++sequence, at: new Date(deps.clock.wallMs()).toISOString(), kind, text: oneLine(text) };
      lines.push(line);
      if (lines.length > options.keep) lines.shift();
      for (const listener of listeners) listener(line);
    },
    lines: () => lines,
    onLine: (listener) => void listeners.add(listener),
  };
}
