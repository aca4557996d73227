import { AppError } from "../../base/errors.ts";
import type { NewAuditEntry } from "./audit-log.ts";
import type { Box } from "./box.ts";
import { boxes, expectedSets } from "./box-documents.ts";
import { type Append, type Engine, keyOf, type Outcome, type Put, type Wake } from "./engine.ts";
import type { NewEvent } from "./event-log.ts";
import { applyDiff, decideReplacement, type ExpectedSet } from "./expected-set.ts";
import { type ChangeAnswer, type ExpectedReplacement, emptySet, outcomeOf } from "./expected-write.ts";
import { notFound } from "./store-error.ts";
import { withContext } from "./write-context.ts";

/** What is to be done to one box, one after the other. */
export interface BoxWrites {
  readonly writes: readonly PlannedWrite[];
}

export interface PlannedWrite extends ExpectedReplacement {
  readonly audit?: NewAuditEntry | undefined;
  readonly event?: NewEvent | undefined;
}

/** In the order in which the boxes were named. */
export type Settled<Plan> =
  | { readonly boxId: string; readonly plan: Plan; readonly answer: ChangeAnswer }
  | { readonly boxId: string; readonly error: AppError };

/** Bounds what a step locks, logs and tells: a hub with ten thousand boxes takes forty steps, and answers others between them. */
export const SETTLED_AT_ONCE = 250;

export interface Settling<Plan> {
  readonly boxIds: readonly string[];
  readonly plan: (box: Box, set: ExpectedSet) => Plan;
  readonly nowMs: number;
  /** Of sets that are not there yet. Epochs are compared within one box only. */
  readonly epoch: string;
}

/** `ExpectedStore.settle`: one transaction over the documents of all boxes. */
export async function settleBoxes<Plan extends BoxWrites>(
  engine: Engine,
  { boxIds, plan, nowMs, epoch }: Settling<Plan>,
): Promise<readonly Settled<Plan>[]> {
  requireFew(boxIds);
  const keys = [
    ...boxIds.map((boxId) => keyOf(boxes, boxId)),
    ...boxIds.map((boxId) => keyOf(expectedSets, boxId)),
  ] as const;
  return engine.transact(keys, (documents): Outcome<readonly Settled<Plan>[]> => {
    const held = documents as readonly (Box | ExpectedSet | undefined)[];
    const outcomes = boxIds.map((boxId, index) => {
      const box = held[index] as Box | undefined;
      const set = (held[boxIds.length + index] as ExpectedSet | undefined) ?? emptySet(boxId, epoch);
      return settleOne({ boxId, box, set }, plan, nowMs);
    });
    return {
      answer: outcomes.map(({ answer }) => answer),
      puts: outcomes.flatMap(({ puts }) => puts ?? []),
      appends: outcomes.flatMap(({ appends }) => appends ?? []),
      wakes: outcomes.flatMap(({ wakes }) => wakes ?? []),
    };
  });
}

/** Pure. */
function settleOne<Plan extends BoxWrites>(
  held: { readonly boxId: string; readonly box: Box | undefined; readonly set: ExpectedSet },
  plan: (box: Box, set: ExpectedSet) => Plan,
  nowMs: number,
): Outcome<Settled<Plan>> {
  const { boxId, box, set } = held;
  if (box === undefined) return { answer: { boxId, error: notFound("box", boxId) } };
  const planned = plan(box, set);
  try {
    const { answer, ...written } = writeAll({ box, set }, planned.writes, nowMs);
    return { ...written, answer: { boxId, plan: planned, answer } };
  } catch (thrown) {
    if (!(thrown instanceof AppError)) throw thrown;
    return { answer: { boxId, error: thrown } };
  }
}

/** Pure. One write after the other; of the set's versions only the last is kept. */
function writeAll(
  { box, set }: { readonly box: Box; readonly set: ExpectedSet },
  writes: readonly PlannedWrite[],
  nowMs: number,
) {
  const appends: Append[] = [];
  const wakes: Wake[] = [];
  let puts: readonly Put[] = [];
  let now = set;
  let changed = false;
  for (const { entries, audit, event, ...by } of writes) {
    const diff = decideReplacement(now.entries, entries, by);
    const outcome = withContext(outcomeOf({ box, set: now }, diff, nowMs), { nowMs, audit, event });
    if (!outcome.answer.changed) continue;
    changed = true;
    now = { ...now, revision: outcome.answer.revision, entries: applyDiff(now.entries, diff) };
    puts = outcome.puts ?? [];
    appends.push(...(outcome.appends ?? []));
    wakes.push(...(outcome.wakes ?? []));
  }
  return { answer: { epoch: now.epoch, revision: now.revision, changed }, puts, appends, wakes };
}

function requireFew(boxIds: readonly string[]): void {
  if (boxIds.length <= SETTLED_AT_ONCE && new Set(boxIds).size === boxIds.length) return;
  throw new AppError(
    "invalid",
    `boxIds: given ${boxIds.length} ids, ${new Set(boxIds).size} of them different; allowed: at most ${SETTLED_AT_ONCE}, each once`,
    { field: "boxIds" },
  );
}
