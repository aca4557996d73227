import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type ListenOptions, type Server } from "node:net";
import { AppError } from "../src/base/errors.ts";

/**
 * Ports for programs that have to be told theirs. The system gives none of them to an outgoing connection or to who asks it for any port, and each is
 * this process's until it ends: an abstract socket of that name says so to the other processes of tests.
 */
export interface PortBounds {
  readonly first: number;
  readonly last: number;
}

const MOST = 12_000;
const FIRST = 10_000;
const LAST = 65_535;
const held: Server[] = [];

export async function freePort(): Promise<number> {
  return freePortRange(1);
}

export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** The first of so many in a row. */
export async function freePortRange(count: number, { first, last }: PortBounds = outsideOfSystem()): Promise<number> {
  const starts = last - first + 2 - count;
  const offset = randomInt(starts);
  for (let at = 0; at < starts; at++) {
    const port = first + ((offset + at) % starts);
    if (await claimAll(port, count)) return port;
  }
  throw new AppError("unavailable", `no ${count} free ports in a row between ${first} and ${last}`);
}

/** Pure but for the file. Beside what the system chooses from, where there is most room. */
function outsideOfSystem(): PortBounds {
  const [low = FIRST, high = LAST] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  const below = { first: Math.max(FIRST, low - MOST), last: low - 1 };
  const above = { first: high + 1, last: LAST };
  const best = below.last - below.first >= above.last - above.first ? below : above;
  return best.last - best.first < 1000 ? { first: FIRST, last: LAST } : best;
}

async function claimAll(from: number, count: number): Promise<boolean> {
  const claims: Server[] = [];
  for (let port = from; port < from + count; port++) {
    const claim = await listening({ path: `\0sluice-test-port-${port}` });
    if (claim !== undefined) claims.push(claim);
    const probe = claim && (await listening({ port }));
    if (probe === undefined) {
      for (const one of claims) one.close();
      return false;
    }
    probe.close();
    await once(probe, "close");
  }
  for (const claim of claims) held.push(claim.unref());
  return true;
}

/** `undefined`: somebody has it. */
async function listening(place: ListenOptions): Promise<Server | undefined> {
  const server = createServer();
  try {
    server.listen(place);
    await once(server, "listening");
    return server;
  } catch {
    return undefined;
  }
}
