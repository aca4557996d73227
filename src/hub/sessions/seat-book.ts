import { z } from "zod";
import type { SessionFacts } from "../../contract/session-status.ts";
import { createSheets, type SheetsDeps } from "../sheets.ts";
import { type RoomProblem, roomProblem, type Seat, type Seats, seatSchema } from "./seats.ts";

export const SESSION_SEATS_KIND = "session-seats";

const sheetSchema = z.object({ sessions: z.record(z.string(), seatSchema) });
type Sheet = z.output<typeof sheetSchema>;

/** What sessions have on boxes, one sheet a box. Each change is one conditional write: however many come at once, no box is overfilled. */
export interface SeatBook {
  /** Gives the session the seat in place of what it has there; the reason where it has no room, and then it keeps what it has. */
  claim(boxId: string, claim: SeatClaim): Promise<RoomProblem | undefined>;
  /** Whatever the session has on the box is free. */
  release(boxId: string, sessionId: string): Promise<void>;
  /** Of every box with a session. */
  all(): Promise<Map<string, Seats>>;
  /** Releases seats that `isWanted` denies and that are older than a placing can take. */
  sweep(isWanted: (boxId: string, sessionId: string) => Promise<boolean>): Promise<void>;
}

export interface SeatClaim {
  readonly id: string;
  readonly seat: Seat;
  readonly facts: SessionFacts | undefined;
  /** The box runs it, so what it has there is a fact. */
  readonly isFact: boolean;
}

const ORPHAN_MS = 120_000;

export function createSeatBook(deps: SheetsDeps): SeatBook {
  const { clock } = deps;
  const sheets = createSheets<Sheet>({ kind: SESSION_SEATS_KIND, schema: sheetSchema, empty: { sessions: {} } }, deps);
  return {
    claim: (boxId, { id, seat, facts, isFact }) =>
      sheets.edit(boxId, (sheet) => {
        const { [id]: own, ...others } = sheet.sessions;
        const mayHave = own === undefined ? isFact : isNoMore(seat, own);
        const problem = mayHave ? undefined : roomProblem(seat, others, facts);
        if (problem !== undefined) return { sheet, answer: problem };
        const next = { atMs: own?.atMs ?? clock.wallMs(), ...seat };
        const isSame = JSON.stringify(own) === JSON.stringify(next);
        return { sheet: isSame ? sheet : { sessions: { ...others, [id]: next } }, answer: undefined };
      }),
    release: (boxId, sessionId) =>
      sheets.edit(boxId, (sheet) => {
        const { [sessionId]: own, ...others } = sheet.sessions;
        return { sheet: own === undefined ? sheet : { sessions: others }, answer: undefined };
      }),
    all: async () => {
      const seats = new Map<string, Seats>();
      for await (const { id, sheet } of sheets.list()) seats.set(id, sheet.sessions);
      return seats;
    },
    sweep: async (isWanted) => {
      for await (const { id: boxId, sheet } of sheets.list()) {
        const orphans = new Set<string>();
        for (const [id, { atMs }] of Object.entries(sheet.sessions)) {
          if (clock.wallMs() - atMs > ORPHAN_MS && !(await isWanted(boxId, id))) orphans.add(id);
        }
        if (orphans.size === 0) continue;
        await sheets.edit(boxId, ({ sessions }) => {
          const kept = Object.entries(sessions).filter(([id]) => !orphans.has(id));
          return { sheet: { sessions: Object.fromEntries(kept) }, answer: undefined };
        });
      }
    },
  };
}

/** Less of everything, and the same ports, never needs room. */
function isNoMore(seat: Seat, own: Seat): boolean {
  const { millicores, memoryBytes, gpus, ports } = seat;
  const isSamePorts = JSON.stringify(ports) === JSON.stringify(own.ports);
  return isSamePorts && millicores <= own.millicores && memoryBytes <= own.memoryBytes && gpus <= own.gpus;
}
