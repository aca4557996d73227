import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { createTurns, type InTurn } from "../../base/turns.ts";
import type { Wake } from "../../base/wake.ts";
import type { RouterBook } from "../remote/router-book.ts";
import type { TicketKeys } from "../remote/ticket-keys.ts";
import type { Durability } from "../store/engine.ts";
import { type AppliedResults, createAppliedResults } from "./applied-results.ts";
import { type PoolMember, poolOf, type SideWish, wishesOf } from "./choose-workers.ts";
import type { LeaseWatch } from "./lease-watch.ts";
import type { PieceBook } from "./piece-book.ts";
import type { SenderWatch } from "./sender-watch.ts";
import type { ServeBook } from "./serve-book.ts";
import { createToldBytes, type ToldBytes } from "./told-bytes.ts";
import type { TransferBook } from "./transfer-book.ts";
import { createTransferRates, type TransferRates } from "./transfer-rates.ts";
import type { Transfer } from "./transfer-record.ts";
import { createWayBook, type WayBook } from "./way-book.ts";
import type { WorkerBook } from "./worker-book.ts";

/** What all that is done with transfers shares. */
export interface TransferHall {
  readonly clock: Clock;
  readonly log: Log;
  readonly newSecret: () => string;
  readonly book: TransferBook;
  readonly pieces: PieceBook;
  readonly workers: WorkerBook;
  readonly serves: ServeBook;
  readonly watch: LeaseWatch;
  readonly senders: SenderWatch;
  readonly wake: Wake;
  readonly keys: Pick<TicketKeys, "signing" | "list">;
  readonly rests: Rests;
  readonly notes: Notes;
  readonly ways: WayBook;
  readonly rates: TransferRates;
  readonly told: ToldBytes;
  readonly applied: AppliedResults;
  readonly routers: Pick<RouterBook, "choose" | "problem">;
  readonly inTurn: InTurn;
  /**
   * Of what becomes of units. `relaxed` only where this hub dies with what the store may lose: nobody waits for that again, so the units are
   * given out once more, and what is there is found there. A hub that outlives it would go on by what it remembers.
   */
  readonly resultDurability: Durability;
  /** Looks at it soon. */
  readonly mark: (id: string) => void;
}

/** What is not tried for a while, by name. Of this hub: another one tries sooner, which costs an attempt. */
export interface Rests {
  isOver(name: string): boolean;
  rest(name: string, ms: number): void;
  /** Forgets what is over. Answers how many are left. */
  prune(): number;
}

export function createRests({ clock }: { readonly clock: Clock }): Rests {
  const until = new Map<string, number>();
  return {
    isOver: (name) => {
      const ms = until.get(name);
      if (ms === undefined) return true;
      if (clock.monotonicMs() < ms) return false;
      until.delete(name);
      return true;
    },
    rest: (name, ms) => void until.set(name, clock.monotonicMs() + ms),
    prune: () => {
      for (const [name, ms] of until) if (clock.monotonicMs() >= ms) until.delete(name);
      return until.size;
    },
  };
}

/** Why a transfer does not go on at the moment, for people; forgotten when it is old. */
export interface Notes {
  say(id: string, text: string): void;
  clear(id: string): void;
  of(id: string): string | undefined;
  /** Forgets what is old. Answers how many are left. */
  prune(): number;
}

const NOTE_MS = 30_000;

export function createNotes({ clock }: { readonly clock: Clock }): Notes {
  const notes = new Map<string, { readonly text: string; readonly atMs: number }>();
  const isOld = ({ atMs }: { readonly atMs: number }) => clock.monotonicMs() - atMs > NOTE_MS;
  return {
    say: (id, text) => void notes.set(id, { text, atMs: clock.monotonicMs() }),
    clear: (id) => void notes.delete(id),
    of: (id) => {
      const note = notes.get(id);
      if (note === undefined) return undefined;
      if (!isOld(note)) return note.text;
      notes.delete(id);
      return undefined;
    },
    prune: () => {
      for (const [id, note] of notes) if (isOld(note)) notes.delete(id);
      return notes.size;
    },
  };
}

export interface Pools {
  readonly sources: readonly PoolMember[];
  readonly destinations: readonly PoolMember[];
}

/** Who can work on it now. Without any where it has not begun. */
export function poolsOf(transfer: Transfer, { workers }: Pick<TransferHall, "workers">): Pools {
  const { source, destination } = wishesOf(transfer.request);
  const all = workers.all();
  const pool = (side: Transfer["source"], { access, box, needs }: SideWish) =>
    side === undefined ? [] : poolOf(side, all, { access, box, needs, isActive: workers.mayWork });
  return { sources: pool(transfer.source, source), destinations: pool(transfer.destination, destination) };
}

export function createHall(
  parts: Omit<TransferHall, "rests" | "notes" | "ways" | "rates" | "told" | "applied" | "inTurn">,
): TransferHall {
  return {
    ...parts,
    rests: createRests(parts),
    notes: createNotes(parts),
    ways: createWayBook(parts),
    rates: createTransferRates(parts),
    told: createToldBytes(parts),
    applied: createAppliedResults(parts),
    inTurn: createTurns(),
  };
}
