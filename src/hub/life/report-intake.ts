import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { workloadIdSchema } from "../../contract/identifier.ts";
import type { Report } from "../../contract/report.ts";
import { applyDelta, type ReportDelta } from "../../contract/report-delta.ts";
import { type BoxReport, REPORT_FORMAT, type ReportAnswer } from "../store/box-report.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { Store } from "../store/store.ts";
import type { CloneWatch } from "./clone-watch.ts";
import { historyOf } from "./history-of-report.ts";
import type { Presence } from "./presence.ts";
import { eventsOf } from "./report-events.ts";

/** A box with a thousand workloads needs half of it; an agent leaves out what would make its report larger. */
export const MAX_REPORT_BYTES = 2 * 1024 * 1024;

/** Takes what a box says of itself. */
export interface ReportIntake {
  /**
   * `stale` and `superseded` reports are answered and change nothing. `refused`: it speaks for another box; `invalid`: an id
   * in it is none; `not-found`: the box is not known; `base-unknown`: it is a delta on a report that is not the last one here;
   * `store-unavailable`: ask again, nothing is lost by that.
   */
  take(boxId: string, report: Report | ReportDelta): Promise<Exclude<ReportAnswer, "unknown-box">>;
  /** Reports by what became of them, since the start. */
  counts(): Readonly<Record<ReportAnswer, number>>;
  onReport(listener: (boxId: string, report: Report) => void): void;
}

export interface ReportIntakeDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly presence: Presence;
  readonly clones: CloneWatch;
}

export function createReportIntake(deps: ReportIntakeDeps): ReportIntake {
  const { store, clock, log, presence, clones } = deps;
  const listeners = new Set<(boxId: string, report: Report) => void>();
  const counts: Record<ReportAnswer, number> = { accepted: 0, stale: 0, superseded: 0, "unknown-box": 0 };
  /** Digest of what was written of a box's history last: most reports tell nothing new of it. */
  const noted = new Map<string, string>();

  const noteHistory = async (boxId: string, report: Report) => {
    const seen = historyOf(report);
    if (seen.incidents.length + seen.gaps.length === 0) return;
    const digest = createHash("sha1").update(JSON.stringify(seen)).digest("base64");
    if (noted.get(boxId) === digest) return;
    await store.history.note(boxId, seen);
    noted.set(boxId, digest);
  };

  const completeCommands = async (boxId: string, { commandResults }: Report) => {
    for (const { id, ok, text } of commandResults) {
      try {
        await store.commands.complete(boxId, id, { ok, text, nowMs: clock.wallMs() });
      } catch (thrown) {
        if (!(thrown instanceof AppError) || thrown.code !== "not-found") throw thrown;
        log.debug(`Box ${boxId} answered the command ${id}, which is not known: ${messageOf(thrown)}`);
      }
    }
  };

  const append = async (events: readonly NewEvent[]) => {
    for (const event of events) await store.events.append(event, clock.wallMs());
  };

  return {
    counts: () => ({ ...counts }),
    onReport: (listener) => void listeners.add(listener),
    take: async (boxId, given) => {
      if (given.boxId !== boxId) throw otherBox();
      if (given.version === 1) requireIds(given);
      const build = (before: BoxReport | undefined): Report => {
        if (given.version === 1) return given;
        const whole = wholeOf(before, given);
        requireIds(whole);
        return whole;
      };
      const followed = await store.reports.follow(boxId, build, clock.wallMs());
      counts[followed.answer]++;
      if (followed.answer === "unknown-box") {
        throw new AppError("not-found", `there is no box ${boxId}`, { field: "box" });
      }
      const { answer, report, held } = followed;
      presence.heard(boxId, report.link.state === "live");
      if (answer === "superseded") await clones.sawLateReport(boxId, report);
      if (answer !== "accepted") return answer;
      await completeCommands(boxId, report);
      await noteHistory(boxId, report);
      await append(eventsOf(boxId, held?.report, report));
      for (const listener of listeners) listener(boxId, report);
      return answer;
    },
  };
}

/**
 * The base is what this release has stored: of a report that an earlier one took, fields may be missing that a delta builds on.
 * Together they must not grow beyond what one report may be.
 */
function wholeOf(held: BoxReport | undefined, delta: ReportDelta): Report {
  const whole = held?.format === REPORT_FORMAT ? applyDelta(held.report, delta) : undefined;
  if (whole === undefined) {
    throw new AppError(
      "base-unknown",
      `base: report ${delta.base} of this session is not the last one here; send the whole`,
      {
        field: "base",
      },
    );
  }
  if (JSON.stringify(whole).length > MAX_REPORT_BYTES) {
    throw new AppError("too-large", `the report has grown beyond ${MAX_REPORT_BYTES} bytes`);
  }
  return whole;
}

function otherBox(): AppError {
  return new AppError("refused", "boxId: another box is named; a box reports for itself only", { field: "boxId" });
}

/** What one box says can name things of its own only, by ids that are ids. */
function requireIds(report: Report): void {
  const index = report.workloads.findIndex(({ id }) => !workloadIdSchema.safeParse(id).success);
  if (index >= 0) {
    throw new AppError("invalid", `workloads[${index}].id: not the id of a workload`, {
      field: `workloads[${index}].id`,
    });
  }
}
