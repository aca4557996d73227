import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import { processesHolding, readLocalSockets } from "../../../base/local-sockets.ts";
import type { LocalSocket } from "../../../base/tcp-table.ts";
import type { TunnelSpec } from "../../../contract/tunnel-spec.ts";

export interface ListenPoint {
  readonly address: string;
  readonly port: number;
}

export interface PortCheckDeps {
  /** Where procfs is mounted. */
  readonly procRoot?: string;
}

const FIRST_UNPRIVILEGED = 1024;

/**
 * Takes each of an end's own addresses and ports for an instant, all at once, before anything is started on them. Rejects
 * with `conflict` when another process has one, `invalid` when the box has no such address, `refused` when this user may
 * not; always with the field of the leg. Nothing is held afterwards: who comes in between is found by the proof.
 */
export async function checkTunnelPorts(spec: Pick<TunnelSpec, "legs">, deps: PortCheckDeps = {}): Promise<void> {
  await Promise.all(spec.legs.map(({ listen }, index) => checkPort(listen, `legs[${index}].listen`, deps)));
}

/** The same for one. `field` is what the error names. */
export async function checkPort(
  point: ListenPoint,
  field: string,
  { procRoot = "/proc" }: PortCheckDeps = {},
): Promise<void> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: point.address, port: point.port, exclusive: true }, resolve);
    });
  } catch (thrown) {
    throw explain(thrown, point, field, procRoot);
  }
  await new Promise((resolve) => server.close(resolve));
}

function explain(thrown: unknown, point: ListenPoint, field: string, procRoot: string): AppError {
  const given = `${field}: ${showPoint(point)}`;
  switch (errnoOf(thrown)) {
    case "EADDRINUSE":
      return new AppError("conflict", `${given} is taken by ${nameHolder(point, procRoot)}`, { field, cause: thrown });
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return new AppError("invalid", `${given} is no address of this box; it has ${boxAddresses().join(", ")}`, {
        field: `${field}.address`,
        cause: thrown,
      });
    case "EACCES":
    case "EPERM": {
      const first = firstUnprivileged(procRoot);
      const why =
        point.port < first
          ? `is privileged for this user: allowed are ports from ${first} on (net.ipv4.ip_unprivileged_port_start), or lower ones with CAP_NET_BIND_SERVICE`
          : "is not allowed for this user";
      return new AppError("refused", `${given} ${why}`, { field: `${field}.port`, cause: thrown });
    }
    default:
      return new AppError("unavailable", `${given} cannot be listened on: ${messageOf(thrown)}`, {
        field,
        cause: thrown,
      });
  }
}

/** `127.0.0.1:5100`, `[::1]:5100`. */
export function showPoint({ address, port }: ListenPoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

const WILDCARDS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

function nameHolder(point: ListenPoint, procRoot: string): string {
  const isInTheWay = ({ address, port }: LocalSocket) =>
    port === point.port && (address === point.address || WILDCARDS.has(address) || WILDCARDS.has(point.address));
  const found = readLocalSockets("self", { root: procRoot }).filter(isInTheWay);
  const socket = found.find(({ isListening }) => isListening) ?? found[0];
  if (socket === undefined) return "another process that this box does not show";
  const how = socket.isListening ? "listens" : "has a connection";
  const where = `${how} on ${showPoint(socket)}`;
  const [holder] = processesHolding(socket.inode, procRoot);
  return holder === undefined
    ? `a process of another user, which ${where}`
    : `${holder.name} (pid ${holder.pid}), which ${where}`;
}

function boxAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []);
}

function firstUnprivileged(procRoot: string): number {
  try {
    const text = readFileSync(join(procRoot, "sys/net/ipv4/ip_unprivileged_port_start"), "utf8");
    return Number.parseInt(text, 10) || FIRST_UNPRIVILEGED;
  } catch {
    return FIRST_UNPRIVILEGED;
  }
}

/** Whether both mean the same, however an IPv6 address is spelt. */
export function isSamePoint(one: ListenPoint, other: ListenPoint): boolean {
  return one.port === other.port && canonical(one.address) === canonical(other.address);
}

/** URL's parser knows the one short form of an IPv6 address. */
function canonical(address: string): string {
  return address.includes(":") ? new URL(`http://[${address}]`).hostname : address;
}
