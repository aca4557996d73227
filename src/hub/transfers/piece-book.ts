import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { TRANSFER_FAILURES } from "../../contract/transfer/failure-code.ts";
import { packHashes, unpackHashes } from "../../contract/transfer/packed-hashes.ts";
import { type TransferEntry, transferEntrySchema } from "../../contract/transfer/transfer-entry.ts";
import type { HubContext } from "../hub-context.ts";
import { createJoinedChanges, type DecideAll, type WriteTerms } from "./joined-changes.ts";
import { packEntries, unpackEntries } from "./packed-piece.ts";
import { MIB, PLAN_SHAPES, type PlanShape, planHashing, planUnits } from "./plan-units.ts";
import { isRace } from "./transfer-book.ts";
import type { Transfer } from "./transfer-record.ts";
import {
  freshStates,
  hashesOf,
  type Piece,
  type PieceSummary,
  summarize,
  type UnitStates,
  unitStatesSchema,
  wholeUnits,
  withoutHashes,
} from "./unit-states.ts";
import { UnreadablePlan } from "./unreadable-plan.ts";

/** Entries that a worker listed, in pieces of bounded size. */
const PIECE_KIND = "transfer-piece";
/** What became of a piece's units, with its sum. */
export const UNITS_KIND = "transfer-units";

/** Of one unit of which everything is there: the hash of each item. Written before the unit says so. */
const HASHES_KIND = "transfer-hashes";

const entriesSchema = z.array(transferEntrySchema);
/**
 * `entries`: of an earlier version, which did not pack them. A `packed` that is a text: of one that cut all pieces evenly. What says
 * how it is cut is no text, so that such a hub does not take it for a piece of its own, and ranges for others.
 */
const pieceSchema = z.object({
  attempt: z.int(),
  packed: z.union([z.string(), z.object({ shape: z.enum(PLAN_SHAPES), entries: z.string() })]).optional(),
  entries: entriesSchema.optional(),
});
const SHAPE: PlanShape = "tapered";
const hashesSchema = z.object({ packed: z.string() });
const summarySchema = z.object({
  bytesDone: z.int(),
  filesDone: z.int(),
  open: z.int(),
  failures: z.array(
    z.object({ path: z.string(), code: z.enum(TRANSFER_FAILURES), message: z.string(), round: z.int() }),
  ),
});
const unitsSchema = unitStatesSchema.extend({ summary: summarySchema });

export interface LoadedPiece {
  readonly piece: Piece;
  readonly states: UnitStates;
  readonly revision: number;
}

export interface PieceBook {
  /** Of a piece that the transfer counts. Throws `UnreadablePlan`. */
  load(transfer: Transfer, index: number, how?: { readonly isFresh: boolean }): Promise<LoadedPiece>;
  /**
   * What is written is decided on what the store has. The same states: nothing is written, and `isFresh` says whether to trust that.
   * Changes of a piece that wait for one another are written together. `durability`: as the store has it.
   */
  change<Answer>(
    transfer: Transfer,
    index: number,
    decide: (loaded: LoadedPiece) => { readonly states: UnitStates; readonly answer: Answer },
    how?: Partial<WriteTerms>,
  ): Promise<Answer>;
  /**
   * Before the transfer counts it, which makes it durable. `stale`: a later walk has written it. The same piece of an earlier walk, which nobody counted,
   * is replaced.
   */
  write(
    transfer: Transfer,
    index: number,
    piece: { readonly attempt: number; readonly entries: readonly TransferEntry[] },
  ): Promise<"ok" | "stale">;
  /** It was written by this hub just now, and the transfer counts it: it is soon asked for. */
  counted(transfer: Transfer, index: number, entries: readonly TransferEntry[]): void;
  /** Of each entry of a piece that is there: "" of what has none. */
  loadHashes(
    transfer: Transfer,
    index: number,
  ): Promise<{ readonly piece: Piece; readonly hashes: ReadonlyMap<number, string> }>;
  /** One for each piece that the transfer counts. */
  summaries(transfer: Transfer): Promise<readonly PieceSummary[]>;
  /** Other hubs may have changed something. */
  doubt(): void;
  /** Relaxed: what is written behind it says that nothing is kept any more, and is durable only after it. */
  sweep(uid: string): Promise<void>;
  forget(uid: string): void;
}

/** Pieces that are held whole, of all transfers: the rest is read when its turn comes. */
const HELD = 32;
/** What another hub has done is read again no sooner where there are many pieces: each time all of them are. */
const REREAD = { free: 50, msAPiece: 2 } as const;
const ATTEMPTS = 16;
const FRESH: PieceSummary = { bytesDone: 0, filesDone: 0, open: 1, failures: [] };

interface Ledger {
  readonly summaries: PieceSummary[];
  readonly revisions: number[];
  isDoubted: boolean;
  readMs: number;
}

export function createPieceBook({ store, clock }: Pick<HubContext, "store" | "clock">): PieceBook {
  const held = new Map<string, LoadedPiece>();
  const ledgers = new Map<string, Ledger>();
  const joinChange = createJoinedChanges<LoadedPiece>();

  const hold = (key: string, loaded: LoadedPiece): LoadedPiece => {
    held.delete(key);
    held.set(key, loaded);
    for (const oldest of held.keys()) {
      if (held.size <= HELD) break;
      held.delete(oldest);
    }
    return loaded;
  };

  const readUnits = async (key: string) => {
    const object = await store.objects.get(UNITS_KIND, key);
    return object === undefined ? undefined : { ...unitsSchema.parse(object.body), revision: object.revision };
  };

  const load: PieceBook["load"] = async (transfer, index, how) => {
    const key = keyOf(transfer.uid, index);
    const before = held.get(key);
    if (before !== undefined && how?.isFresh !== true) return before;
    const piece = before?.piece ?? (await readPiece(transfer, index));
    const units = await readUnits(key);
    const states = units === undefined ? freshStates(piece) : { units: units.units };
    return hold(key, { piece, states, revision: units?.revision ?? 0 });
  };

  const readPiece = async (transfer: Transfer, index: number): Promise<Piece> => {
    const object = await store.objects.get(PIECE_KIND, keyOf(transfer.uid, index));
    if (object === undefined) throw new AppError("not-found", `piece ${index} of transfer ${transfer.id} is gone`);
    const stored = pieceSchema.safeParse(object.body);
    if (!stored.success) throw new UnreadablePlan(transfer.id);
    const { packed, entries = [] } = stored.data;
    if (packed === undefined) return pieceOf(transfer, entries, "even");
    const { shape, entries: text } = typeof packed === "string" ? { shape: "even" as const, entries: packed } : packed;
    return pieceOf(transfer, entriesSchema.parse(unpackEntries(text)), shape);
  };

  /** What of the states is read seldom, and is much, lies beside them. */
  const putHashesBeside = async (
    transfer: Transfer,
    index: number,
    { piece }: LoadedPiece,
    states: UnitStates,
  ): Promise<UnitStates> => {
    const whole = wholeUnits(piece, states);
    if (isHashAsked(transfer)) {
      for (const [unit, { attempt, hashes }] of whole) {
        const id = hashesKeyOf(transfer.uid, index, { unit, attempt });
        await store.objects.put(
          { kind: HASHES_KIND, id, body: { packed: packHashes(hashes) } },
          // The states that say so are written behind it, and make it durable.
          { nowMs: clock.wallMs(), durability: "relaxed" },
        );
      }
    }
    return withoutHashes(states, whole);
  };

  const loadHashes: PieceBook["loadHashes"] = async (transfer, index) => {
    const { piece, states } = await load(transfer, index);
    const kept = new Map<number, readonly string[]>();
    for (const [unit, { isWhole, attempt }] of states.units.entries()) {
      if (isWhole !== true) continue;
      const object = await store.objects.get(HASHES_KIND, hashesKeyOf(transfer.uid, index, { unit, attempt }));
      if (object === undefined) throw new AppError("not-found", `hashes of piece ${index} of ${transfer.id} are gone`);
      kept.set(unit, unpackHashes(hashesSchema.parse(object.body).packed));
    }
    return { piece, hashes: hashesOf(piece, states, kept) };
  };

  const ledgerOf = async (transfer: Transfer): Promise<Ledger> => {
    const fresh = { summaries: [], revisions: [], isDoubted: true, readMs: Number.NEGATIVE_INFINITY };
    const ledger: Ledger = ledgers.get(transfer.uid) ?? fresh;
    ledgers.set(transfer.uid, ledger);
    const nowMs = clock.monotonicMs();
    if (ledger.isDoubted && nowMs - ledger.readMs >= rereadMs(ledger)) {
      ledger.isDoubted = false;
      ledger.readMs = nowMs;
      try {
        await readLedger(transfer, ledger);
      } catch (thrown) {
        ledger.isDoubted = true;
        ledger.readMs = Number.NEGATIVE_INFINITY;
        throw thrown;
      }
    }
    while (ledger.summaries.length < transfer.list.pieces) ledger.summaries.push(FRESH);
    return ledger;
  };

  const readLedger = async (transfer: Transfer, ledger: Ledger): Promise<void> => {
    for (let after: string | undefined = `${transfer.uid}.`; after !== undefined; ) {
      const page = await store.objects.list(UNITS_KIND, { after, limit: 50 });
      for (const { id, revision, body } of page.items) {
        if (!id.startsWith(`${transfer.uid}.`)) return;
        const index = Number(id.slice(transfer.uid.length + 1));
        if ((ledger.revisions[index] ?? 0) >= revision) continue;
        while (ledger.summaries.length < index) ledger.summaries.push(FRESH);
        ledger.summaries[index] = summarySchema.parse(z.looseObject({ summary: z.unknown() }).parse(body).summary);
        ledger.revisions[index] = revision;
        if ((held.get(id)?.revision ?? revision) < revision) held.delete(id);
      }
      after = page.next;
    }
  };

  const note = (
    { uid }: Transfer,
    index: number,
    { summary, revision }: { readonly summary: PieceSummary; readonly revision: number },
  ) => {
    const ledger = ledgers.get(uid);
    if (ledger === undefined || (ledger.revisions[index] ?? 0) >= revision) return;
    while (ledger.summaries.length < index) ledger.summaries.push(FRESH);
    ledger.summaries[index] = summary;
    ledger.revisions[index] = revision;
  };

  const writeUnits = async (
    transfer: Transfer,
    index: number,
    { decideAll, isFresh, durability }: WriteTerms & { readonly decideAll: DecideAll<LoadedPiece> },
  ): Promise<void> => {
    const key = keyOf(transfer.uid, index);
    for (let attempt = 1; ; attempt++) {
      const loaded = await load(transfer, index, { isFresh: attempt > 1 || isFresh });
      const decided = decideAll(loaded);
      if (decided === loaded) return;
      const states = await putHashesBeside(transfer, index, loaded, decided.states);
      const summary = summarize(loaded.piece, states);
      try {
        const { revision } = await store.objects.put(
          { kind: UNITS_KIND, id: key, body: { ...states, summary } },
          { nowMs: clock.wallMs(), expectedRevision: loaded.revision, durability },
        );
        hold(key, { ...loaded, states, revision });
        note(transfer, index, { summary, revision });
        return;
      } catch (thrown) {
        // It may have been written all the same: what is there is read before anything else is decided.
        held.delete(key);
        if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
      }
    }
  };

  return {
    load,
    change: (transfer, index, decide, how) =>
      joinChange(
        keyOf(transfer.uid, index),
        {
          isFresh: how?.isFresh === true,
          durability: how?.durability ?? "durable",
          decide: (loaded) => {
            const { states, answer } = decide(loaded);
            return { state: states === loaded.states ? loaded : { ...loaded, states }, answer };
          },
        },
        (decideAll, terms) => writeUnits(transfer, index, { decideAll, ...terms }),
      ),
    write: async (transfer, index, piece) => {
      const id = keyOf(transfer.uid, index);
      held.delete(id);
      for (let attempt = 1; ; attempt++) {
        const before = await store.objects.get(PIECE_KIND, id);
        const older = before === undefined ? undefined : z.looseObject({ attempt: z.int() }).parse(before.body);
        if (older !== undefined && older.attempt > piece.attempt) return "stale";
        try {
          const expectedRevision = before?.revision ?? 0;
          const body = { attempt: piece.attempt, packed: { shape: SHAPE, entries: packEntries(piece.entries) } };
          const context = { nowMs: clock.wallMs(), expectedRevision, durability: "relaxed" } as const;
          await store.objects.put({ kind: PIECE_KIND, id, body }, context);
          return "ok";
        } catch (thrown) {
          if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
        }
      }
    },
    counted: (transfer, index, entries) => {
      const key = keyOf(transfer.uid, index);
      if (held.has(key)) return;
      const piece = pieceOf(transfer, entries, SHAPE);
      hold(key, { piece, states: freshStates(piece), revision: 0 });
    },
    loadHashes,
    summaries: async (transfer) => (await ledgerOf(transfer)).summaries.slice(0, transfer.list.pieces),
    doubt: () => {
      for (const ledger of ledgers.values()) ledger.isDoubted = true;
    },
    sweep: async (uid) => {
      for (const kind of [UNITS_KIND, HASHES_KIND, PIECE_KIND]) {
        for (;;) {
          const page = await store.objects.list(kind, { after: `${uid}.`, limit: 50 });
          const mine = page.items.filter(({ id }) => id.startsWith(`${uid}.`));
          const context = { nowMs: clock.wallMs(), durability: "relaxed" } as const;
          await Promise.all(mine.map(({ id }) => store.objects.delete(kind, id, context)));
          if (mine.length < 50) break;
        }
      }
    },
    forget: (uid) => {
      ledgers.delete(uid);
      for (const key of held.keys()) if (key.startsWith(`${uid}.`)) held.delete(key);
    },
  };
}

function rereadMs({ summaries }: Ledger): number {
  return Math.max(0, summaries.length - REREAD.free) * REREAD.msAPiece;
}

function pieceOf({ request }: Transfer, entries: readonly TransferEntry[], shape: PlanShape): Piece {
  const chunkBytes = request.chunk_size_mb * MIB;
  const units = request.mode === "verify" ? planHashing(entries, chunkBytes) : planUnits(entries, chunkBytes, shape);
  return { entries, units };
}

/** By its units alone nobody has a hash of a file that others could come to. */
export function isHashAsked({ request }: Pick<Transfer, "request">): boolean {
  return request.mode === "verify" || request.verify !== "transit";
}

function hashesKeyOf(uid: string, index: number, of: { readonly unit: number; readonly attempt: number }): string {
  return `${keyOf(uid, index)}.${of.unit}.${of.attempt}`;
}

function keyOf(uid: string, index: number): string {
  return `${uid}.${String(index).padStart(9, "0")}`;
}
