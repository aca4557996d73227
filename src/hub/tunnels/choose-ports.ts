import { AppError } from "../../base/errors.ts";

/** One listening point that a tunnel needs on a box. */
export interface PortWish {
  readonly address: string;
  /** Left out: from the range. */
  readonly port: number | undefined;
  /** As its sender spelt it: `entries[0].port`. */
  readonly field: string;
}

export interface Listen {
  readonly address: string;
  readonly port: number;
}

/** What tunnels have on one box. */
export interface Taken extends Listen {
  readonly uid: string;
}

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Below it only a privileged process may listen, and an agent is none. */
export const FIRST_FREE_PORT = 1024;

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

/**
 * Pure. The points in the order of the wishes. Ports that are asked for come first: `conflict` names the tunnel that has one
 * and the field. The others are the lowest of the range, from `from` on, that are free; `conflict` where it has too few. `refused`: no box that
 * lacks rights can listen there.
 */
export function choosePorts(
  wishes: readonly PortWish[],
  on: {
    readonly boxId: string;
    readonly range: PortRange | undefined;
    readonly taken: readonly Taken[];
    readonly from?: number;
  },
): readonly Listen[] {
  const { boxId, range, taken } = on;
  const asked: { readonly listen: Listen; readonly field: string }[] = [];
  for (const { address, port, field } of wishes) {
    if (port === undefined) continue;
    requireUnprivileged(port, field);
    const listen = { address, port };
    const other = taken.find((one) => isSamePlace(one, listen));
    if (other !== undefined) {
      throw new AppError("conflict", `${field}: given ${port}; on box ${boxId} tunnel ${other.uid} has it`, { field });
    }
    const twin = asked.find((one) => isSamePlace(one.listen, listen));
    if (twin !== undefined) {
      throw new AppError("invalid", `${field}: given ${port}; ${twin.field} has it already`, { field });
    }
    asked.push({ listen, field });
  }
  const free = freePorts(range, [...taken, ...asked.map(({ listen }) => listen)], on.from);
  return wishes.map(({ address, port, field }) => {
    if (port !== undefined) return { address, port };
    const next = free.next();
    if (next.done !== true) return { address, port: next.value };
    throw tooFew(wishes, on, field);
  });
}

function* freePorts(
  range: PortRange | undefined,
  taken: readonly Listen[],
  from: number | undefined,
): Generator<number, undefined> {
  if (range === undefined) return;
  const ports = new Set(taken.map(({ port }) => port));
  const size = range.to - range.from + 1;
  const start = from === undefined || from < range.from || from > range.to ? range.from : from;
  for (let step = 0; step < size; step++) {
    const port = range.from + ((start - range.from + step) % size);
    // A port of the range is one tunnel's on all addresses: nobody has to think about which.
    if (!ports.has(port)) yield port;
  }
}

function tooFew(
  wishes: readonly PortWish[],
  {
    boxId,
    range,
    taken,
  }: { readonly boxId: string; readonly range: PortRange | undefined; readonly taken: readonly Taken[] },
  field: string,
): AppError {
  const needed = wishes.filter(({ port }) => port === undefined).length;
  if (range === undefined) {
    return new AppError(
      "conflict",
      `${field}: left out, and box ${boxId} has not told its range of ports (tunnels.ports)`,
      {
        field,
      },
    );
  }
  const inRange = new Set(taken.map(({ port }) => port).filter((port) => port >= range.from && port <= range.to));
  const free = Math.max(0, range.to - range.from + 1 - inRange.size);
  return new AppError(
    "conflict",
    `${field}: ${needed} ports are needed from the range ${range.from}-${range.to} of box ${boxId} (tunnels.ports), and ${free} are free`,
    { field },
  );
}

export function requireUnprivileged(port: number, field: string): void {
  if (port >= FIRST_FREE_PORT) return;
  throw new AppError(
    "invalid",
    `${field}: given ${port}; allowed: ${FIRST_FREE_PORT} to 65535, because an agent has no rights to listen below`,
    {
      field,
    },
  );
}

function isSamePlace(one: Listen, other: Listen): boolean {
  if (one.port !== other.port) return false;
  return one.address === other.address || EVERY_ADDRESS.has(one.address) || EVERY_ADDRESS.has(other.address);
}
