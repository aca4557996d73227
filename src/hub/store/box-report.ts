import { createHash } from "node:crypto";
import { z } from "zod";
import { type Report, reportSchema } from "../../contract/report.ts";

/** When a box was last heard, and through which hub. Wall time in milliseconds, by the clock of the hub that heard it. */
export interface BoxContact {
  readonly boxId: string;
  readonly lastContactMs: number;
  readonly hubId: string;
}

/** The last report of a box, with what only a row of reports can show. */
export interface BoxReport {
  readonly boxId: string;
  readonly receivedMs: number;
  readonly report: Report;
  /** `REPORT_FORMAT` of the hub that stored it; absent: an earlier release. */
  readonly format?: string;
  /** Agent processes that this box has had before the present one, newest first. At most `SESSIONS_KEPT`. */
  readonly pastSessions: readonly string[];
  /** One a start of the agent, newest first. At most `STARTS_KEPT`. */
  readonly starts: readonly AgentStart[];
}

export interface AgentStart {
  readonly session: string;
  readonly atMs: number;
  readonly verdict: Report["verdict"];
  readonly bootId: string;
  readonly agentVersion: string;
}

/**
 * - `accepted`: it is the latest report now;
 * - `stale`: a later one of the same agent process is there already; nothing is written;
 * - `superseded`: it comes from an agent process that was followed by another one. Once is a report that was late; when
 *   two processes go on in turn, two machines use one identity. Nothing is written;
 * - `unknown-box`.
 */
export type ReportAnswer = "accepted" | "stale" | "superseded" | "unknown-box";

/** Another one whenever `reportSchema` is: what was stored by that one lacks the fields that it did not know. */
export const REPORT_FORMAT = createHash("sha256")
  .update(JSON.stringify(z.toJSONSchema(reportSchema)))
  .digest("hex")
  .slice(0, 16);
export const SESSIONS_KEPT = 8;
export const STARTS_KEPT = 20;

/** Pure. */
export function judgeReport(
  held: BoxReport | undefined,
  report: Pick<Report, "session" | "sequence">,
): Exclude<ReportAnswer, "unknown-box"> {
  if (held === undefined) return "accepted";
  if (held.report.session === report.session) return report.sequence > held.report.sequence ? "accepted" : "stale";
  return held.pastSessions.includes(report.session) ? "superseded" : "accepted";
}

/** Pure. */
export function followReport(
  held: BoxReport | undefined,
  next: Pick<BoxReport, "boxId" | "receivedMs" | "report">,
): BoxReport {
  const { report, receivedMs } = next;
  const format = REPORT_FORMAT;
  if (held?.report.session === report.session) {
    return { ...next, format, pastSessions: held.pastSessions, starts: held.starts };
  }
  const { session, verdict, bootId, agentVersion } = report;
  const start: AgentStart = { session, atMs: receivedMs, verdict, bootId, agentVersion };
  const past = held === undefined ? [] : [held.report.session, ...held.pastSessions];
  return {
    ...next,
    format,
    pastSessions: past.slice(0, SESSIONS_KEPT),
    starts: [start, ...(held?.starts ?? [])].slice(0, STARTS_KEPT),
  };
}
