import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { workloadIdSchema } from "../../contract/identifier.ts";
import type { Report } from "../../contract/report.ts";
import type { ReportAnswer } from "../store/box-report.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { Store } from "../store/store.ts";
import type { CloneWatch } from "./clone-watch.ts";
import { historyOf } from "./history-of-report.ts";
import type { Presence } from "./presence.ts";
import { eventsOf } from "./report-events.ts";

/** Takes what a box says of itself. */
export interface ReportIntake {
  /**
   * `stale` and `superseded` reports are answered and change nothing. `refused`: it speaks for another box; `invalid`: an id
   * in it is none; `not-found`: the box is not known; `store-unavailable`: ask again, nothing is lost by that.
   */
  take(boxId: string, report: Report): Promise<Exclude<ReportAnswer, "unknown-box">>;
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
    take: async (boxId, report) => {
      requireScope(boxId, report);
      presence.heard(boxId, report.link.state === "live");
      const { answer, before } = await store.reports.put(boxId, report, clock.wallMs());
      counts[answer]++;
      if (answer === "unknown-box") throw new AppError("not-found", `there is no box ${boxId}`, { field: "box" });
      if (answer === "superseded") await clones.sawLateReport(boxId, report);
      if (answer !== "accepted") return answer;
      await completeCommands(boxId, report);
      await noteHistory(boxId, report);
      await append(eventsOf(boxId, before, report));
      for (const listener of listeners) listener(boxId, report);
      return answer;
    },
  };
}

/** What one box says can name itself and things of its own only, by ids that are ids. */
function requireScope(boxId: string, report: Report): void {
  if (report.boxId !== boxId) {
    throw new AppError("refused", "boxId: another box is named; a box reports for itself only", { field: "boxId" });
  }
  const index = report.workloads.findIndex(({ id }) => !workloadIdSchema.safeParse(id).success);
  if (index >= 0) {
    throw new AppError("invalid", `workloads[${index}].id: not the id of a workload`, {
      field: `workloads[${index}].id`,
    });
  }
}
