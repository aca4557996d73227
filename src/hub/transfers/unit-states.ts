import { z } from "zod";
import { TRANSFER_FAILURES, type TransferFailureCode } from "../../contract/transfer/failure-code.ts";
import { unpackHashes } from "../../contract/transfer/packed-hashes.ts";
import type { TransferEntry } from "../../contract/transfer/transfer-entry.ts";
import type { TransferResult } from "../../contract/transfer/transfer-result.ts";
import { isCounted, type Unit } from "./plan-units.ts";

const itemFailureSchema = z.object({
  /** Which of the unit's items. */
  item: z.int(),
  code: z.enum(TRANSFER_FAILURES),
  message: z.string(),
  /** Of `source-changed`: which walk had listed it. A later one lists it anew. */
  round: z.int(),
});

const unitStateSchema = z.object({
  state: z.enum(["waiting", "leased", "done"]),
  /** How often it was leased: the last lease is the one that counts. */
  attempt: z.int(),
  worker: z.string().optional(),
  /** Attempts that failed. */
  failed: z.int(),
  /** Of each item: its hash; "" of what is no file; `null`: not there yet. Absent: none is. */
  hashes: z.array(z.string().nullable()).optional(),
  /** All items are there. Their hashes, where anybody asks for them later, are kept beside: what became of all units is read often. */
  isWhole: z.boolean().optional(),
  /** Items that will not come. */
  failures: z.array(itemFailureSchema).optional(),
});
export type UnitState = z.output<typeof unitStateSchema>;

export const unitStatesSchema = z.object({ units: z.array(unitStateSchema) });
/** What became of the units of one piece. */
export type UnitStates = z.output<typeof unitStatesSchema>;

/** A unit that failed so often is not tried again by itself. */
export const MAX_FAILED = 5;

export interface Piece {
  readonly entries: readonly TransferEntry[];
  readonly units: readonly Unit[];
}

export function freshStates({ units }: Piece): UnitStates {
  return { units: units.map(() => ({ state: "waiting", attempt: 0, failed: 0 })) };
}

/** Pure. Whether it may be worked on, were it free: the end of a file waits for its ranges. */
export function isReady(piece: Piece, states: UnitStates, index: number): boolean {
  const unit = piece.units[index];
  const state = states.units[index];
  if (unit === undefined || state === undefined || state.state === "done") return false;
  if (unit.kind === "copy") return true;
  return rangesOf(piece, index).every((range) => states.units[range]?.state === "done");
}

/** Pure. The ranges that a `finish` is for. */
export function rangesOf({ units }: Piece, finish: number): readonly number[] {
  const entry = units[finish]?.part?.entry;
  const ranges: number[] = [];
  for (let index = finish - 1; index >= 0 && units[index]?.part?.entry === entry; index--) ranges.unshift(index);
  return ranges;
}

/** Pure. The next attempt is the worker's; what an earlier one still tells is stale. */
export function leaseUnit(states: UnitStates, index: number, worker: string): UnitStates {
  return withUnit(states, index, (unit) => ({ ...unit, state: "leased", attempt: unit.attempt + 1, worker }));
}

/** Pure. The items that are still to be done. */
export function openItems(unit: Unit, state: UnitState | undefined): readonly number[] {
  if (state?.isWhole === true) return [];
  const failed = new Set(state?.failures?.map(({ item }) => item));
  return unit.items.flatMap((_, item) => (typeof state?.hashes?.[item] === "string" || failed.has(item) ? [] : [item]));
}

export interface Problem {
  readonly code: TransferFailureCode;
  readonly message: string;
  /** Who was to send it, where it is that one's word. */
  readonly source?: string | undefined;
  /** Nothing of the lease was done. */
  readonly isAll: boolean;
}

export interface ResultOutcome {
  readonly answer: "ack" | "duplicate" | "stale";
  readonly states: UnitStates;
  /** Something is still to be done and should not be tried at once again, or was tried for the last time. */
  readonly problem?: Problem | undefined;
}

/** The destination has no room, or the way is barred: nothing is wrong with the file, and it goes on by itself when that ends. */
export const PASSING: readonly TransferFailureCode[] = [
  "no-space",
  "no-storage",
  "read-only",
  "unreachable",
  "cancelled",
  "fenced",
];
/** Another attempt would not change it. */
export const FINAL: readonly TransferFailureCode[] = ["not-found", "unsupported", "source-changed"];

/**
 * Pure. What a result makes of a piece. It counts only where it is of the present attempt and from who has it: each unit is
 * applied once, whoever tells it how often. What a worker says to be done without a hash is not done.
 */
export function applyResult(
  piece: Piece,
  states: UnitStates,
  told: {
    readonly unit: number;
    readonly attempt: number;
    readonly round: number;
    /** A comparison: what cannot be read is told, and not waited for. */
    readonly isVerify?: boolean;
    readonly result: Pick<
      TransferResult,
      "worker_id" | "success" | "items" | "item_hashes" | "failures" | "message" | "dial_failed"
    >;
  },
): ResultOutcome {
  const { result, attempt } = told;
  const unit = piece.units[told.unit];
  const state = states.units[told.unit];
  if (unit === undefined || state === undefined || attempt !== state.attempt || result.worker_id !== state.worker) {
    return { answer: "stale", states };
  }
  if (state.state !== "leased") return { answer: "duplicate", states };
  const hashes = unit.items.map((_, item) => state.hashes?.[item] ?? null);
  const given = new Map(result.items.map((item) => [`${item.path}\0${item.offset}\0${item.length}`, item.sha256]));
  const open = openItems(unit, state);
  const packed = packedOf(result, open.length);
  const failed = new Map(result.failures.map((failure) => [failure.path, failure]));
  const failures = [...(state.failures ?? [])];
  let problem: Omit<Problem, "isAll"> | undefined;
  let hasOwn = false;
  let blocks: readonly { readonly offset: number; readonly length: number }[] | undefined;
  for (const [place, item] of open.entries()) {
    const { entry: index, offset, length } = unit.items[item] ?? { entry: -1, offset: 0, length: 0 };
    const entry = piece.entries[index];
    if (entry === undefined) continue;
    const failure = failed.get(entry.path);
    const hash = packed === undefined ? given.get(`${entry.path}\0${offset}\0${length}`) : packed[place];
    if (failure !== undefined) {
      // What went wrong at who tells this says more of it than what it heard.
      const isOwn = failure.source_worker === undefined;
      if (isOwn || !hasOwn) problem = { code: failure.code, message: failure.message, source: failure.source_worker };
      hasOwn ||= isOwn;
      if (failure.code === "corrupt") blocks = failure.blocks ?? [];
      const isFinal = FINAL.includes(failure.code) || (told.isVerify === true && failure.code === "denied");
      if (isFinal) failures.push(itemFailure(item, failure, told.round));
    } else if (hash !== undefined && hash !== "") hashes[item] = hash;
    else if (entry.type !== "file" && result.success) hashes[item] = "";
    else if (problem === undefined) problem = withoutWord(entry, result);
  }
  const counts = problem !== undefined && !PASSING.includes(problem.code) && !result.dial_failed ? 1 : 0;
  const next: UnitState = {
    state: "waiting",
    attempt: state.attempt,
    worker: state.worker,
    failed: state.failed + counts,
    hashes,
    ...(failures.length === 0 ? {} : { failures }),
  };
  const isAll = open.every((item) => typeof hashes[item] !== "string");
  const toProblem = () => (problem === undefined ? undefined : { ...problem, isAll });
  const left = openItems(unit, next);
  if (left.length === 0) {
    const settled = withUnit(states, told.unit, () => ({ ...next, state: "done" }));
    return { answer: "ack", states: failures.length > 0 ? abandonFile(piece, settled, told.unit) : settled };
  }
  if (next.failed >= MAX_FAILED) {
    const last = problem ?? { code: "io" as const, message: result.message };
    const all = [...failures, ...left.map((item) => itemFailure(item, last, told.round))];
    const settled = withUnit(states, told.unit, () => ({ ...next, state: "done", failures: all }));
    return { answer: "ack", states: abandonFile(piece, settled, told.unit), problem: toProblem() };
  }
  const waiting = withUnit(states, told.unit, () => next);
  const isTorn = unit.kind === "finish" && blocks !== undefined;
  return {
    answer: "ack",
    states: isTorn ? reopen(piece, waiting, told.unit, blocks ?? []) : waiting,
    problem: toProblem(),
  };
}

/** Of the items that were given out: those that are still open. What is told of another number of them is of something else. */
function packedOf({ item_hashes: packed }: Pick<TransferResult, "item_hashes">, given: number) {
  if (packed === undefined) return undefined;
  const hashes = unpackHashes(packed);
  return hashes.length === given ? hashes : [];
}

function withoutWord(entry: TransferEntry, result: Pick<TransferResult, "success" | "message" | "dial_failed">) {
  if (result.dial_failed) return { code: "unreachable" as const, message: result.message };
  const message = result.success
    ? `${entry.path === "" ? "the file" : entry.path}: said to be done, without the hash of what was written`
    : result.message;
  return { code: "io" as const, message: message === "" ? "it failed, and the worker did not say why" : message };
}

function itemFailure(
  item: number,
  { code, message }: { readonly code: TransferFailureCode; readonly message: string },
  round: number,
) {
  return { item, code, message: message.slice(0, 300), round };
}

/** A long file of which one part will not come is given up with all its parts; the failure is told once. */
function abandonFile(piece: Piece, states: UnitStates, of: number): UnitStates {
  const entry = piece.units[of]?.part?.entry;
  if (entry === undefined) return states;
  const units = states.units.map((state, index) =>
    index === of || piece.units[index]?.part?.entry !== entry || state.state === "done"
      ? state
      : // A lease that is out is fenced.
        { ...state, state: "done" as const, attempt: state.attempt + 1 },
  );
  return { units };
}

/** The ranges that turned out wrong are moved again; without any named, all are. */
function reopen(
  piece: Piece,
  states: UnitStates,
  finish: number,
  blocks: readonly { readonly offset: number; readonly length: number }[],
): UnitStates {
  const isWrong = (range: number) => {
    const item = piece.units[range]?.items[0];
    if (item === undefined || blocks.length === 0) return true;
    return blocks.some(({ offset, length }) => offset < item.offset + item.length && item.offset < offset + length);
  };
  const wrong = new Set(rangesOf(piece, finish).filter(isWrong));
  return {
    units: states.units.map((state, index) =>
      wrong.has(index) ? { state: "waiting", attempt: state.attempt, failed: state.failed } : state,
    ),
  };
}

function withUnit(states: UnitStates, index: number, change: (state: UnitState) => UnitState): UnitStates {
  return { units: states.units.map((state, at) => (at === index ? change(state) : state)) };
}

export interface PieceSummary {
  readonly bytesDone: number;
  readonly filesDone: number;
  /** Units that are not done. */
  readonly open: number;
  readonly failures: readonly PieceFailure[];
}

export interface PieceFailure {
  readonly path: string;
  readonly code: TransferFailureCode;
  readonly message: string;
  readonly round: number;
}

/** Pure. */
export function summarize(piece: Piece, states: UnitStates): PieceSummary {
  let bytesDone = 0;
  let filesDone = 0;
  let open = 0;
  const failures: PieceFailure[] = [];
  for (const [index, unit] of piece.units.entries()) {
    const state = states.units[index];
    if (state?.state !== "done") open++;
    for (const [at, item] of unit.items.entries()) {
      if (state?.isWhole !== true && typeof state?.hashes?.[at] !== "string") continue;
      const entry = piece.entries[item.entry];
      if (unit.kind === "copy") bytesDone += item.length;
      const isWhole = unit.part === undefined || unit.kind === "finish";
      if (isWhole && entry !== undefined && isCounted(entry)) filesDone++;
    }
    for (const { item, ...failure } of state?.failures ?? []) {
      const entry = piece.entries[unit.items[item]?.entry ?? -1];
      if (entry !== undefined) failures.push({ path: entry.path, ...failure });
    }
  }
  return { bytesDone, filesDone, open, failures };
}

/** Pure. Units of which all items are there, with their hashes: these are kept beside the states. */
export function wholeUnits(
  { units }: Piece,
  states: UnitStates,
): ReadonlyMap<number, { readonly attempt: number; readonly hashes: readonly string[] }> {
  const whole = new Map<number, { readonly attempt: number; readonly hashes: readonly string[] }>();
  for (const [index, { state, attempt, hashes = [], failures = [] }] of states.units.entries()) {
    // Of the parts of a long file there is one hash each, and they are held against it.
    if (state !== "done" || failures.length > 0 || units[index]?.part !== undefined) continue;
    const all = hashes.filter((hash) => typeof hash === "string");
    if (all.length > 0 && all.length === units[index]?.items.length) whole.set(index, { attempt, hashes: all });
  }
  return whole;
}

/** Pure. */
export function withoutHashes(states: UnitStates, of: ReadonlyMap<number, unknown>): UnitStates {
  if (of.size === 0) return states;
  return {
    units: states.units.map((unit, index) => {
      const { hashes: _, ...rest } = unit;
      return of.has(index) ? { ...rest, isWhole: true } : unit;
    }),
  };
}

/** Pure. The hash of each entry that is there: "" of what has none; absent: it did not come. `kept`: those of whole units. */
export function hashesOf(
  piece: Piece,
  states: UnitStates,
  kept: ReadonlyMap<number, readonly string[]>,
): ReadonlyMap<number, string> {
  const hashes = new Map<number, string>();
  for (const [index, unit] of piece.units.entries()) {
    if (unit.kind === "copy" && unit.part !== undefined) continue;
    for (const [at, item] of unit.items.entries()) {
      const hash = kept.get(index)?.[at] ?? states.units[index]?.hashes?.[at];
      if (typeof hash === "string") hashes.set(item.entry, hash);
    }
  }
  return hashes;
}

/** Pure. What was given up is tried again, from the start of its count; what was listed anew since is not. */
export function retryFailed(piece: Piece, states: UnitStates, round: number): UnitStates {
  const replaced = new Set<number>();
  for (const [index, unit] of piece.units.entries()) {
    for (const failure of states.units[index]?.failures ?? []) {
      const entry = unit.items[failure.item]?.entry;
      if (entry !== undefined && isReplaced(failure, round)) replaced.add(entry);
    }
  }
  const units = states.units.map((state, index): UnitState => {
    const items = piece.units[index]?.items ?? [];
    if (state.isWhole === true) return state;
    const isGivenUp = items.some(({ entry }, item) => typeof state.hashes?.[item] !== "string" && !replaced.has(entry));
    if (state.state !== "done" || !isGivenUp) return state;
    const { failures: before = [], ...rest } = state;
    const failures = before.filter((failure) => isReplaced(failure, round));
    return { ...rest, state: "waiting", failed: 0, ...(failures.length === 0 ? {} : { failures }) };
  });
  return { units };
}

/** Pure. Whether a later walk has listed it again. */
export function isReplaced(failure: Pick<PieceFailure, "code" | "round">, round: number): boolean {
  return failure.code === "source-changed" && failure.round < round;
}
