import type { Box } from "./box.ts";
import { boxes, expectedLog, expectedSets, setTopic } from "./box-documents.ts";
import { type Engine, keyOf, putOf } from "./engine.ts";
import { parseCursor } from "./event-log.ts";
import {
  decideChange,
  decideReplacement,
  type ExpectedChange,
  type ExpectedDiff,
  type ExpectedSet,
  type LoggedChange,
} from "./expected-set.ts";
import { type ChangeAnswer, type ExpectedReplacement, emptySet, outcomeOf } from "./expected-write.ts";
import { type BoxWrites, type Settled, settleBoxes } from "./settle-boxes.ts";
import { notFound, requireRevision } from "./store-error.ts";
import { change, type WriteContext } from "./write-context.ts";

/**
 * What each box should run. A change is one step: set, revision, the box's event, audit entry and request record are
 * written together and durably, or not at all; of two changes at the same time one follows the other. Every change wakes
 * `{kind: "expected"}` on every hub.
 */
export interface ExpectedStore {
  /** An untouched set, with its epoch, for a box that nobody has asked anything of. `not-found`: no such box. */
  get(boxId: string): Promise<ExpectedSet>;
  /** `not-found`, `conflict` (with the current revision, or for another owner's entry), `invalid`. Nothing that differs: nothing is written. */
  change(boxId: string, asked: ExpectedChange, context: ExpectedWrite): Promise<ChangeAnswer>;
  /** Makes the owner's part of the set exactly `entries`; with `takeOver` the whole set. Errors as `change`. */
  replace(boxId: string, asked: ExpectedReplacement, context: ExpectedWrite): Promise<ChangeAnswer>;
  /**
   * Plans for many boxes, and writes what comes of it in one step: all of it is durable when this resolves, or none. What
   * holds for `replace` holds for each write of each box: revision, log, event, audit entry and hint of its own. `plan` gets
   * each box and its set as they stand in that step; it must be pure, and may be called again. A box that is not there, or
   * whose writes are a `conflict` or `invalid`, has an error and keeps what it has; the others are not held up by it.
   * `boxIds`: at most `SETTLED_AT_ONCE`, each once; `invalid` otherwise.
   */
  settle<Plan extends BoxWrites>(
    boxIds: readonly string[],
    plan: (box: Box, set: ExpectedSet) => Plan,
    nowMs: number,
  ): Promise<readonly Settled<Plan>[]>;
  /**
   * Changes after a cursor `<epoch>.<revision>`, oldest first and without a hole; or word that the cursor is of no use,
   * and the whole set is needed. Of a box the last `CHANGES_KEPT` changes are there. `ahead`: the box has seen what this
   * store has lost (it was restored from a backup, or Redis lost its last second): give it a new epoch.
   */
  after(boxId: string, cursor: string | undefined, limit: number): Promise<ChangesAfter>;
  /** Starts a new epoch for the box with the set as it is. Only if the epoch is still `from`, so that many hubs do it once. */
  renewEpoch(boxId: string, from: string, context: WriteContext): Promise<ExpectedSet>;
}

export interface ExpectedWrite extends WriteContext {
  readonly expectedRevision?: number | undefined;
}

export type ChangesAfter =
  | { readonly kind: "changes"; readonly epoch: string; readonly changes: readonly LoggedChange[] }
  | { readonly kind: "snapshot"; readonly reason: SnapshotReason; readonly set: ExpectedSet };

export type SnapshotReason = "no-cursor" | "other-epoch" | "too-old" | "ahead";

export function createExpectedStore(engine: Engine, newId: () => string): ExpectedStore {
  const write = (boxId: string, context: ExpectedWrite, decide: (set: ExpectedSet) => ExpectedDiff) => {
    const keys = [keyOf(boxes, boxId), keyOf(expectedSets, boxId)] as const;
    const epoch = newId();
    return change(engine, { scope: `box/${boxId}`, keys, context }, ([box, held]) => {
      if (box === undefined) throw notFound("box", boxId);
      const set = held ?? emptySet(boxId, epoch);
      requireRevision(`what box ${boxId} should run`, context.expectedRevision, set.revision);
      return outcomeOf({ box, set }, decide(set), context.nowMs);
    });
  };

  /** The set, made with an epoch if this is the first time that anyone asks. */
  const load = async (boxId: string): Promise<ExpectedSet> => {
    const keys = [keyOf(boxes, boxId), keyOf(expectedSets, boxId)] as const;
    const [box, held] = await engine.read(keys);
    if (box !== undefined && held !== undefined) return held;
    const epoch = newId();
    return engine.transact(keys, ([known, current]) => {
      if (known === undefined) throw notFound("box", boxId);
      if (current !== undefined) return { answer: current };
      const set = emptySet(boxId, epoch);
      // Its first change makes it durable. One that is lost before has another epoch when it is made again, so no cursor misleads.
      return { answer: set, puts: [putOf(keys[1], set)], durability: "relaxed" };
    });
  };

  return {
    get: load,
    change: (boxId, asked, context) => write(boxId, context, ({ entries }) => decideChange(entries, asked)),
    replace: (boxId, asked, context) =>
      write(boxId, context, ({ entries }) => decideReplacement(entries, asked.entries, asked)),
    settle: (boxIds, plan, nowMs) => settleBoxes(engine, { boxIds, plan, nowMs, epoch: newId() }),
    after: async (boxId, cursor, limit) => {
      const from = parseCursor(cursor);
      // The log is read before the set: whatever comes between is in the set too, never only in the log.
      const slice = await engine.readLog(expectedLog(boxId), from?.sequence ?? Number.MAX_SAFE_INTEGER, limit);
      // Where there is a set, there is its box.
      const [held] = await engine.read([keyOf(expectedSets, boxId)]);
      const set = held ?? (await load(boxId));
      const snapshot = (reason: SnapshotReason): ChangesAfter => ({ kind: "snapshot", reason, set });
      if (cursor === undefined) return snapshot("no-cursor");
      if (from === undefined || from.epoch !== set.epoch) return snapshot("other-epoch");
      if (from.sequence > set.revision) return snapshot("ahead");
      if (from.sequence < slice.first - 1) return snapshot("too-old");
      const changes = slice.entries.map(({ sequence, atMs, body }) => ({ ...body, revision: sequence, atMs }));
      return { kind: "changes", epoch: set.epoch, changes };
    },
    renewEpoch: (boxId, from, context) => {
      const keys = [keyOf(boxes, boxId), keyOf(expectedSets, boxId)] as const;
      const epoch = newId();
      return change(engine, { scope: `box/${boxId}`, keys, context }, ([box, held]) => {
        if (box === undefined) throw notFound("box", boxId);
        if (held !== undefined && held.epoch !== from) return { answer: held };
        const set = { ...(held ?? emptySet(boxId, epoch)), epoch };
        return { answer: set, puts: [putOf(keys[1], set)], wakes: [setTopic(boxId)] };
      });
    },
  };
}
