import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Report } from "../../contract/report.ts";
import type { Store } from "../store/store.ts";
import { type CloneEvidence, judgeClone, NO_EVIDENCE, withLateReport, withTakeover } from "./clone-evidence.ts";

/** Finds boxes whose identity two machines use, and keeps both away from their work until a person has decided. */
export interface CloneWatch {
  sawTakeover(boxId: string, addresses: readonly [older: string, newer: string]): void;
  sawLateReport(boxId: string, report: Report): Promise<void>;
}

export function createCloneWatch(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}): CloneWatch {
  const { store, clock, log } = deps;
  const held = new Map<string, CloneEvidence>();

  const quarantine = async (boxId: string, why: string) => {
    const box = await store.boxes.get(boxId);
    held.delete(boxId);
    if (box === undefined || box.quarantine !== undefined) return;
    const reason = `cloned identity: ${why}`;
    log.warn(`Box ${boxId} was put into quarantine: ${reason}`);
    const nowMs = clock.wallMs();
    await store.boxes.update(
      boxId,
      { quarantine: { reason } },
      {
        nowMs,
        audit: { actor: "hub", action: "box.quarantine", subject: `box/${boxId}`, outcome: "done", detail: reason },
        event: { kind: "box.quarantined", boxId, text: `${boxId} was put into quarantine: ${reason}` },
      },
    );
  };

  const follow = async (boxId: string, evidence: CloneEvidence, detail: string) => {
    held.set(boxId, evidence);
    const why = judgeClone(evidence);
    if (why !== undefined) await quarantine(boxId, `${why}${detail}`);
  };

  return {
    sawTakeover: (boxId, [older, newer]) => {
      const evidence = withTakeover(held.get(boxId) ?? NO_EVIDENCE, clock.monotonicMs());
      follow(boxId, evidence, `, from ${older} and ${newer}`).catch((thrown: unknown) =>
        log.warn(`Box ${boxId} could not be put into quarantine: ${messageOf(thrown)}`),
      );
    },
    sawLateReport: (boxId, { session, sequence, bootId }) => {
      const late = { atMs: clock.monotonicMs(), session, sequence };
      return follow(boxId, withLateReport(held.get(boxId) ?? NO_EVIDENCE, late), `; boot of one of them: ${bootId}`);
    },
  };
}
