import type { Report } from "../../contract/report.ts";
import { fullestDisk } from "../telemetry/sample-of-report.ts";
import type { AlertRule } from "./alert-rule.ts";

/** Something that a rule looks for, and that is so. */
export interface ActiveCondition {
  /** `box/north-1`, `box/north-1/cam-2`. */
  readonly subject: string;
  /** One line for people. */
  readonly text: string;
  /** For how long it has been so already, by what the box itself measured. */
  readonly heldMs: number;
}

const UNWELL: ReadonlySet<string> = new Set(["waiting", "degraded", "stalled", "unkillable", "refused"]);

/** Pure. What of a rule holds by this report. `box-offline` is not told by a report. */
export function conditionsOf(rule: AlertRule, report: Report): readonly ActiveCondition[] {
  const box = `box/${report.boxId}`;
  switch (rule.condition) {
    case "box-offline":
      return [];
    case "disk-full": {
      const share = fullestDisk(report.node);
      if (share === undefined || share < rule.threshold) return [];
      return [{ subject: box, text: `a disk of ${report.boxId} is ${Math.floor(share)} % full`, heldMs: 0 }];
    }
    case "workload-unwell":
      return report.workloads
        .filter(({ state }) => UNWELL.has(state))
        .map(({ id, state, cause }) => ({
          subject: `${box}/${id}`,
          text: `${id} on ${report.boxId} is ${state}${cause === undefined ? "" : `: ${cause}`}`,
          heldMs: 0,
        }));
    case "gap":
      return gapsOf(report).map(({ id, seconds, cause }) => ({
        subject: `${box}/${id}`,
        text: `${id} on ${report.boxId} has had no media for ${Math.round(seconds)} s: ${cause}`,
        heldMs: seconds * 1000,
      }));
  }
}

/** Pure. */
export function offlineCondition(boxId: string): ActiveCondition {
  return { subject: `box/${boxId}`, text: `${boxId} is offline`, heldMs: 0 };
}

/** Open gaps, and those that ended since the last report: of each workload the longest. */
function gapsOf(report: Report): readonly { readonly id: string; readonly seconds: number; readonly cause: string }[] {
  const gaps = new Map<string, { readonly id: string; readonly seconds: number; readonly cause: string }>();
  const add = (id: string, { seconds, cause }: { readonly seconds: number; readonly cause: string }) => {
    if ((gaps.get(id)?.seconds ?? -1) < seconds) gaps.set(id, { id, seconds, cause });
  };
  for (const { id, proof } of report.workloads) {
    const last = proof?.gaps.at(-1);
    if (last !== undefined && last.end === undefined) add(id, last);
  }
  for (const { workloadId, gap } of report.occurrences) {
    if (workloadId !== undefined && gap !== undefined) add(workloadId, gap);
  }
  return [...gaps.values()];
}
