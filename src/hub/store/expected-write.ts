import type { Box } from "./box.ts";
import { expectedLog, expectedSets, setTopic } from "./box-documents.ts";
import { keyOf, type Outcome, putOf } from "./engine.ts";
import {
  applyDiff,
  type ExpectedChange,
  type ExpectedDiff,
  type ExpectedEntry,
  type ExpectedSet,
} from "./expected-set.ts";

export interface ExpectedReplacement extends Pick<ExpectedChange, "owner" | "takeOver"> {
  readonly entries: readonly ExpectedEntry[];
}

export interface ChangeAnswer {
  readonly epoch: string;
  /** The revision of now. */
  readonly revision: number;
  readonly changed: boolean;
}

/** Of a box. */
export const CHANGES_KEPT = 256;

export function emptySet(boxId: string, epoch: string): ExpectedSet {
  return { boxId, epoch, revision: 0, entries: [] };
}

/** Pure. The set one revision further, or the answer alone where nothing differs. */
export function outcomeOf(
  { box, set }: { readonly box: Box; readonly set: ExpectedSet },
  diff: ExpectedDiff,
  nowMs: number,
): Outcome<ChangeAnswer> {
  const { boxId, epoch } = set;
  if (diff.put.length + diff.remove.length === 0) {
    return { answer: { epoch, revision: set.revision, changed: false } };
  }
  const next = { ...set, revision: set.revision + 1, entries: applyDiff(set.entries, diff) };
  return {
    answer: { epoch, revision: next.revision, changed: true },
    puts: [putOf(keyOf(expectedSets, boxId), next)],
    appends: [{ log: expectedLog(boxId), body: diff, atMs: nowMs, sequence: next.revision, keep: CHANGES_KEPT }],
    wakes: [
      { topic: setTopic(boxId), news: { box, epoch, change: { ...diff, revision: next.revision, atMs: nowMs } } },
    ],
  };
}
