import type { Clock } from "../../src/base/clock.ts";
import type { Report } from "../../src/contract/report.ts";

export interface ReceivedReport {
  /** ISO 8601, this server's clock. */
  readonly receivedAt: string;
  readonly report: Report;
}

/** The latest report of every box, and the last `keep` of all. */
export interface ReportBook {
  add(report: Report): void;
  latest(): readonly ReceivedReport[];
  latestOf(boxId: string): ReceivedReport | undefined;
  /** Oldest first. */
  last(): readonly ReceivedReport[];
  count(): number;
  onReport(listener: (received: ReceivedReport) => void): void;
}

export function createReportBook(options: { readonly keep: number }, deps: { readonly clock: Clock }): ReportBook {
  const latest = new Map<string, ReceivedReport>();
  const last: ReceivedReport[] = [];
  const listeners = new Set<(received: ReceivedReport) => void>();
  let count = 0;
  return {
    add: (report) => {
      count++;
      const received = { receivedAt: new Date(deps.clock.wallMs()).toISOString(), report };
      latest.set(report.boxId, received);
      last.push(received);
      if (last.length > options.keep) last.shift();
      for (const listener of listeners) listener(received);
    },
    latest: () => [...latest.values()],
    latestOf: (boxId) => latest.get(boxId),
    last: () => last,
    count: () => count,
    onReport: (listener) => void listeners.add(listener),
  };
}
