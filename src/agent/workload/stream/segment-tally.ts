import type { SegmentCounts } from "../../../contract/local-status.ts";

/** One round over the recordings of a stream: what is finished and has not arrived, and why. */
export interface SegmentRound {
  waiting: number;
  failed: number;
  problem: string | undefined;
}

/** What of each stream's finished recordings has moved, waits or failed. */
export interface SegmentTally {
  /** Of one stream, after each round. */
  told(id: string, round: SegmentRound, atWallMs: number): void;
  /** Of streams that are not wanted any more, or have no rule. */
  keepOnly(ids: ReadonlySet<string>): void;
  /** `undefined`: it has no rule, or was not looked at yet. */
  of(id: string): SegmentCounts | undefined;
}

const MAX_MESSAGE_CHARACTERS = 300;

/** `movedOf`: of all that has ever moved under the rule of a stream. */
export function createSegmentTally(movedOf: (id: string) => number): SegmentTally {
  const held = new Map<string, Omit<SegmentCounts, "moved"> & { readonly isFailing: boolean }>();
  return {
    told: (id, { waiting, failed, problem }, atWallMs) => {
      const message = problem?.slice(0, MAX_MESSAGE_CHARACTERS);
      const before = held.get(id);
      const goesOn = before?.isFailing === true && before.lastError?.message === message;
      const lastError =
        message === undefined || goesOn ? before?.lastError : { at: new Date(atWallMs).toISOString(), message };
      const isFailing = message !== undefined;
      held.set(id, { waiting, failed, isFailing, ...(lastError === undefined ? {} : { lastError }) });
    },
    keepOnly: (ids) => {
      for (const id of held.keys()) if (!ids.has(id)) held.delete(id);
    },
    of: (id) => {
      const counts = held.get(id);
      if (counts === undefined) return undefined;
      const { isFailing: _, ...told } = counts;
      return { moved: movedOf(id), ...told };
    },
  };
}
