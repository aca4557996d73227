import type { Clock } from "../../base/clock.ts";
import type { LogRecord, OutputName } from "../../contract/fleet/log-line.ts";
import { readLog } from "../local-api/read-log.ts";
import { amountOf, type LogAmounts, type LogLedger } from "../runtime/output/log-ledger.ts";
import { createLogRecords } from "./log-records.ts";

export interface RecordWish {
  readonly path: string;
  /** `agent`, or the id of a workload. */
  readonly source: string;
  /** From the end, to begin with. */
  readonly lines: number;
  readonly follow: boolean;
  readonly sinceMs: number | undefined;
  /** Of a session: one of its outputs alone. */
  readonly output: OutputName | undefined;
}

export interface RecordDeps {
  readonly clock: Clock;
  readonly redact: (text: string) => string;
  /** What the log's writer tells, where it writes in this process. */
  readonly ledger: LogLedger | undefined;
}

/**
 * A log as records, some at a time, never none. What is missing because the reader was too slow is a gap among them, counted where
 * the writer is in this process. Nothing is read before it is asked for, so a slow reader costs no memory.
 */
export async function* readRecords(
  { path, source, lines, follow, sinceMs, output }: RecordWish,
  { clock, redact, ledger }: RecordDeps,
  signal: AbortSignal,
): AsyncGenerator<readonly LogRecord[]> {
  const gaps: LogRecord[] = [];
  const records = createLogRecords({ source, sinceMs, output });
  const onGap = (reason: string, lost?: LogAmounts) =>
    void gaps.push({ type: "gap", ...(lost && amountOf(lost, output)), reason });
  for await (const text of readLog({ path, lines, output, follow, onGap, ledger }, clock, signal)) {
    const made = [...gaps.splice(0), ...records.push(redact(text))];
    if (made.length > 0) yield made;
    if (signal.aborted) return;
  }
  const rest = [...gaps, ...records.end()];
  if (rest.length > 0 && !signal.aborted) yield rest;
}

export function toNdjson(records: readonly LogRecord[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}
