import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { createTurns } from "../../base/turns.ts";
import { TRANSFER_FAILURES } from "../../contract/transfer/failure-code.ts";
import { type TransferEntry, transferEntrySchema } from "../../contract/transfer/transfer-entry.ts";
import type { HubContext } from "../hub-context.ts";
import { MIB, planHashing, planUnits } from "./plan-units.ts";
import { isRace } from "./transfer-book.ts";
import type { Transfer } from "./transfer-record.ts";
import {
  freshStates,
  type Piece,
  type PieceSummary,
  summarize,
  type UnitStates,
  unitStatesSchema,
} from "./unit-states.ts";

/** Entries that a worker listed, in pieces of bounded size. */
const PIECE_KIND = "transfer-piece";
/** What became of a piece's units, with its sum. */
export const UNITS_KIND = "transfer-units";

const pieceSchema = z.object({ attempt: z.int(), entries: z.array(transferEntrySchema) });
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
  /** Of a piece that the transfer counts. */
  load(transfer: Transfer, index: number, how?: { readonly isFresh: boolean }): Promise<LoadedPiece>;
  /** What is written is decided on what the store has. The same states: nothing is written, and `isFresh` says whether to trust that. */
  change<Answer>(
    transfer: Transfer,
    index: number,
    decide: (loaded: LoadedPiece) => { readonly states: UnitStates; readonly answer: Answer },
    how?: { readonly isFresh: boolean },
  ): Promise<Answer>;
  /**
   * Before the transfer counts it. `stale`: a later walk has written it. The same piece of an earlier walk, which nobody counted,
   * is replaced.
   */
  write(
    transfer: Transfer,
    index: number,
    piece: { readonly attempt: number; readonly entries: readonly TransferEntry[] },
  ): Promise<"ok" | "stale">;
  /** One for each piece that the transfer counts. */
  summaries(transfer: Transfer): Promise<readonly PieceSummary[]>;
  /** Other hubs may have changed something. */
  doubt(): void;
  sweep(uid: string): Promise<void>;
  forget(uid: string): void;
}

/** Pieces that are held whole, of all transfers: the rest is read when its turn comes. */
const HELD = 64;
const ATTEMPTS = 16;
const FRESH: PieceSummary = { bytesDone: 0, filesDone: 0, open: 1, failures: [] };

interface Ledger {
  readonly summaries: PieceSummary[];
  readonly revisions: number[];
  isDoubted: boolean;
}

export function createPieceBook({ store, clock }: Pick<HubContext, "store" | "clock">): PieceBook {
  const held = new Map<string, LoadedPiece>();
  const ledgers = new Map<string, Ledger>();
  const inTurn = createTurns();

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
    const { entries } = pieceSchema.parse(object.body);
    const plan = transfer.request.mode === "verify" ? planHashing : planUnits;
    return { entries, units: plan(entries, transfer.request.chunk_size_mb * MIB) };
  };

  const ledgerOf = async (transfer: Transfer): Promise<Ledger> => {
    const ledger = ledgers.get(transfer.uid) ?? { summaries: [], revisions: [], isDoubted: true };
    ledgers.set(transfer.uid, ledger);
    if (ledger.isDoubted) {
      ledger.isDoubted = false;
      try {
        await readLedger(transfer, ledger);
      } catch (thrown) {
        ledger.isDoubted = true;
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

  const note = (transfer: Transfer, index: number, { piece, states, revision }: LoadedPiece) => {
    const ledger = ledgers.get(transfer.uid);
    if (ledger === undefined || (ledger.revisions[index] ?? 0) >= revision) return;
    while (ledger.summaries.length < index) ledger.summaries.push(FRESH);
    ledger.summaries[index] = summarize(piece, states);
    ledger.revisions[index] = revision;
  };

  return {
    load,
    change: (transfer, index, decide, how) =>
      inTurn(keyOf(transfer.uid, index), async () => {
        for (let attempt = 1; ; attempt++) {
          const loaded = await load(transfer, index, { isFresh: attempt > 1 || how?.isFresh === true });
          const { states, answer } = decide(loaded);
          if (states === loaded.states) return answer;
          const key = keyOf(transfer.uid, index);
          const body = { ...states, summary: summarize(loaded.piece, states) };
          try {
            const { revision } = await store.objects.put(
              { kind: UNITS_KIND, id: key, body },
              { nowMs: clock.wallMs(), expectedRevision: loaded.revision },
            );
            note(transfer, index, hold(key, { ...loaded, states, revision }));
            return answer;
          } catch (thrown) {
            // It may have been written all the same: what is there is read before anything else is decided.
            held.delete(key);
            if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
          }
        }
      }),
    write: async (transfer, index, piece) => {
      const id = keyOf(transfer.uid, index);
      held.delete(id);
      for (let attempt = 1; ; attempt++) {
        const before = await store.objects.get(PIECE_KIND, id);
        const older = before === undefined ? undefined : pieceSchema.parse(before.body);
        if (older !== undefined && older.attempt > piece.attempt) return "stale";
        try {
          const expectedRevision = before?.revision ?? 0;
          await store.objects.put({ kind: PIECE_KIND, id, body: piece }, { nowMs: clock.wallMs(), expectedRevision });
          return "ok";
        } catch (thrown) {
          if (!isRace(thrown) || attempt === ATTEMPTS) throw thrown;
        }
      }
    },
    summaries: async (transfer) => (await ledgerOf(transfer)).summaries.slice(0, transfer.list.pieces),
    doubt: () => {
      for (const ledger of ledgers.values()) ledger.isDoubted = true;
    },
    sweep: async (uid) => {
      for (const kind of [UNITS_KIND, PIECE_KIND]) {
        for (;;) {
          const page = await store.objects.list(kind, { after: `${uid}.`, limit: 50 });
          const mine = page.items.filter(({ id }) => id.startsWith(`${uid}.`));
          for (const { id } of mine) await store.objects.delete(kind, id, { nowMs: clock.wallMs() });
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

function keyOf(uid: string, index: number): string {
  return `${uid}.${String(index).padStart(9, "0")}`;
}
