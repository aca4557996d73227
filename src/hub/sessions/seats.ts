import { z } from "zod";
import type { SessionWish } from "../../contract/fleet/session.ts";
import { parseBytes, parseCores } from "../../contract/quantity.ts";
import { PORT_PROTOCOLS } from "../../contract/session-spec.ts";
import type { SessionDepth, SessionFacts } from "../../contract/session-status.ts";

/** What one session has on a box. */
export const seatSchema = z.object({
  /** When it was taken: one whose session never came to be is cleared after a while. */
  atMs: z.number(),
  millicores: z.int(),
  memoryBytes: z.number(),
  gpus: z.int(),
  /** Those that were asked for. */
  ports: z.array(z.object({ port: z.int(), protocol: z.enum(PORT_PROTOCOLS), address: z.string().optional() })),
});
export type Seat = Omit<z.output<typeof seatSchema>, "atMs">;
export type Seats = Readonly<Record<string, Seat>>;

/**
 * Pure. Awake it takes what it asks for, and what it does not ask for is not counted. Frozen it holds its memory, stopped nothing of the
 * machine; its ports stay its own, so that it can wake.
 */
export function seatOf({ resources, template }: SessionWish, depth?: SessionDepth): Seat {
  const millicores = Math.round((parseCores(resources?.cpu ?? "") ?? 0) * 1000);
  const memoryBytes = parseBytes(resources?.memory ?? "") ?? 0;
  const isHeld = depth === undefined || depth === "frozen";
  return {
    millicores: depth === undefined ? millicores : 0,
    memoryBytes: isHeld ? memoryBytes : 0,
    gpus: isHeld ? (resources?.gpus ?? 0) : 0,
    ports: (template.ports ?? []).flatMap(({ hostPort, protocol = "tcp", address }) =>
      hostPort === undefined ? [] : [{ port: hostPort, protocol, ...(address === undefined ? {} : { address }) }],
    ),
  };
}

/** The rules about room, in the order in which they are asked. */
export const ROOM_RULES = ["sessions", "ports", "gpus", "memory", "cpu"] as const;

export interface RoomProblem {
  readonly rule: (typeof ROOM_RULES)[number];
  readonly reason: string;
}

interface SeatTotals extends Omit<Seat, "ports"> {
  readonly count: number;
}

/** Seats of a box are never changed in place, and of a thousand boxes one has others than at the choice before. */
const totals = new WeakMap<Seats, SeatTotals>();

/** Pure. What all seats take together. */
export function totalsOf(seats: Seats): SeatTotals {
  const known = totals.get(seats);
  if (known !== undefined) return known;
  const sum = { count: 0, millicores: 0, memoryBytes: 0, gpus: 0 };
  for (const { millicores, memoryBytes, gpus } of Object.values(seats)) {
    sum.count += 1;
    sum.millicores += millicores;
    sum.memoryBytes += memoryBytes;
    sum.gpus += gpus;
  }
  totals.set(seats, sum);
  return sum;
}

/** Pure. Why the seat cannot be had beside the others; what the box does not tell of itself is not counted. */
export function roomProblem(seat: Seat, others: Seats, facts: SessionFacts | undefined): RoomProblem | undefined {
  const taken = totalsOf(others);
  const { maxSessions, gpus, memoryBytes, cores } = facts ?? {};
  if (maxSessions !== undefined && taken.count >= maxSessions) {
    return { rule: "sessions", reason: `it has ${taken.count} sessions, and takes ${maxSessions} (sessions.max)` };
  }
  const busy = busyPort(seat, others);
  if (busy !== undefined) return { rule: "ports", reason: busy };
  const short = (rule: RoomProblem["rule"], needed: number, all: number, used: number, text: (n: number) => string) =>
    needed === 0 || used + needed <= all
      ? undefined
      : {
          rule,
          reason: `${rule}: ${text(needed)} ${needed === 1 ? "is" : "are"} needed, ${text(Math.max(0, all - used))} of ${text(all)} are free`,
        };
  return (
    // Processors of this kind are either told of or not there.
    short("gpus", seat.gpus, gpus ?? 0, taken.gpus, String) ??
    (memoryBytes === undefined
      ? undefined
      : short("memory", seat.memoryBytes, memoryBytes, taken.memoryBytes, amountText)) ??
    (cores === undefined
      ? undefined
      : short("cpu", seat.millicores, Math.round(cores * 1000), taken.millicores, coresText))
  );
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

function busyPort({ ports }: Seat, others: Seats): string | undefined {
  for (const { port, protocol, address } of ports) {
    for (const [id, seat] of Object.entries(others)) {
      const isTaken = seat.ports.some(
        (one) => one.port === port && one.protocol === protocol && doMeet(one.address, address),
      );
      if (isTaken) return `port ${port}/${protocol} is taken by session ${id}`;
    }
  }
  return undefined;
}

/** Without an address it is the box's own, which the hub does not know: it may be any. */
function doMeet(one: string | undefined, other: string | undefined): boolean {
  return (
    one === undefined || other === undefined || one === other || EVERY_ADDRESS.has(one) || EVERY_ADDRESS.has(other)
  );
}

function amountText(bytes: number): string {
  const [unit, size] = bytes >= 2 ** 30 ? (["Gi", 2 ** 30] as const) : (["Mi", 2 ** 20] as const);
  return `${Math.round((bytes / size) * 100) / 100}${unit}`;
}

function coresText(millicores: number): string {
  return `${millicores / 1000}`;
}
