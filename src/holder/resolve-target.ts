import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { canonicalHost } from "../base/canonical-host.ts";
import { AppError, errnoOf } from "../base/errors.ts";
import { parseNetworks } from "../base/network-range.ts";
import type { DeclaredPort } from "../contract/remote/operation.ts";
import type { ForwardGrant, GrantedTarget, SessionGrant } from "../contract/remote/remote-grant.ts";

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** The system's resolver, by which tests can be of another mind. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

const resolveHost: ResolveHost = async (host) =>
  (await lookup(host, { all: true, order: "verbatim" })).map(({ address }) => address);

/** This machine, its links, nobody and everybody, and where clouds tell machines their secrets. */
const isNear = parseNetworks([
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::",
  "::1",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
  "fd00:ec2::254",
]) as (address: string) => boolean;

/** Throws `refused`: the session was not opened for this place. */
export function requireTarget(place: Place, protocol: "tcp" | "udp", { targets }: ForwardGrant): GrantedTarget {
  const host = canonicalHost(place.host);
  const found = targets.find(
    (target) =>
      target.protocol === protocol && target.host === host && target.from <= place.port && place.port <= target.to,
  );
  if (found === undefined) {
    throw new AppError("refused", `this session was not opened for ${place.host}:${place.port}/${protocol}`);
  }
  return found;
}

/** Of a session's ports, by where it listens and with its id for a host. Throws `refused`, as `requireTarget`. */
export function requireDeclared(place: Place, protocol: "tcp" | "udp", { session, ports }: SessionGrant): DeclaredPort {
  const found = ports.find((one) => one.port === place.port && one.protocol === protocol);
  if (found === undefined || place.host !== session) {
    throw new AppError("refused", `this session was not opened for ${place.host}:${place.port}/${protocol}`);
  }
  return found;
}

/**
 * The addresses that may be dialled. What is judged here is what is dialled: a name that means something else a moment later helps
 * nobody. Rejects with `not-found` when there are none, and `refused` when none of them is allowed.
 */
export async function resolveTarget(
  { host, reach, addresses }: Pick<GrantedTarget, "host" | "reach" | "addresses">,
  resolve: ResolveHost = resolveHost,
): Promise<readonly string[]> {
  if (addresses !== undefined) return addresses;
  if (isIP(host) !== 0) return [host];
  let found: readonly string[];
  try {
    found = await resolve(host);
  } catch (cause) {
    throw new AppError("not-found", `${host} cannot be looked up on the box (${errnoOf(cause) ?? "no answer"})`, {
      cause,
    });
  }
  if (reach === "any") return found;
  const isLocalName = host === "localhost" || host.endsWith(".localhost");
  const own = new Set(
    Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .map(({ address }) => address),
  );
  const isHere = (address: string) => isNear(address) || own.has(address);
  const isLoopback = (address: string) => address === "::1" || address.startsWith("127.");
  const allowed = found.filter((address) => (isLocalName ? isLoopback(address) : !isHere(address)));
  if (allowed.length === 0) {
    throw new AppError(
      "refused",
      `${host} leads to ${found.join(", ")} on the box; allowed by a name: other machines (name the address itself in policy.remote.forward)`,
    );
  }
  return allowed;
}
