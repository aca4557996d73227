import { AppError } from "../../base/errors.ts";
import type { TunnelWish } from "../../contract/fleet/tunnel.ts";
import { ipAddressSchema } from "../../contract/tunnel-spec.ts";
import type { TunnelFacts } from "../../contract/tunnel-status.ts";
import { type Listen, type PortWish, requireUnprivileged } from "./choose-ports.ts";
import type { Tunnel, TunnelWay } from "./tunnel-record.ts";

/** What a wish comes to, before its ports are chosen. */
export interface ResolvedWish {
  /** At the consumer's box, one a way. */
  readonly entries: readonly PortWish[];
  /** At the producer's box, one a way. */
  readonly gateways: readonly PortWish[];
  readonly gatewayAddress: string;
  /** Where the consumer's box reaches them. */
  readonly dialHost: string;
}

/**
 * Pure. Throws `invalid` naming the field for what can never be. Ports that were chosen for an earlier form of the tunnel (`held`) stay
 * where they still fit.
 */
export function resolveWish(
  wish: TunnelWish,
  { producer, held }: { readonly producer: TunnelFacts | undefined; readonly held: Tunnel | undefined },
): ResolvedWish {
  if (wish.producer === wish.consumer) {
    throw new AppError("invalid", `consumer: given ${wish.consumer}, which is the producer too; allowed: another box`, {
      field: "consumer",
    });
  }
  const ways = countWays(wish);
  const { gatewayAddress, dialHost } = gatewayOf(wish, producer);
  const last = wish.entries.at(-1)?.address ?? "127.0.0.1";
  const entries = Array.from({ length: ways }, (_, way): PortWish => {
    const asked = wish.entries[way];
    const address = asked?.address ?? last;
    const before = held?.ways[way]?.entry;
    const kept = before?.address === address ? before.port : undefined;
    return { address, port: asked?.port ?? kept, field: `entries[${way}].port` };
  });
  const first = wish.via?.port;
  const gateways = Array.from({ length: ways }, (_, way): PortWish => {
    const kept = held?.gatewayAddress === gatewayAddress ? held.ways[way]?.gateway.port : undefined;
    return { address: gatewayAddress, port: first === undefined ? kept : first + way, field: "via.port" };
  });
  if (first !== undefined) {
    requireUnprivileged(first, "via.port");
    if (first + ways - 1 > 65_535) {
      throw new AppError(
        "invalid",
        `via.port: given ${first}; ${ways} ports follow from it; allowed: up to ${65_536 - ways}`,
        {
          field: "via.port",
        },
      );
    }
  }
  return { entries, gateways, gatewayAddress, dialHost };
}

/** Pure. */
export function waysOf(
  wish: TunnelWish,
  { dialHost }: ResolvedWish,
  chosen: { readonly entries: readonly Listen[]; readonly gateways: readonly Listen[] },
): TunnelWay[] {
  return chosen.entries.flatMap((entry, way): TunnelWay[] => {
    const gateway = chosen.gateways[way];
    const source = wish.sources[way % wish.sources.length];
    if (gateway === undefined || source === undefined) return [];
    return [{ entry, gateway, dial: { host: dialHost, port: gateway.port }, source }];
  });
}

function countWays({ sources, entries, connections }: TunnelWish): number {
  const needed = Math.max(sources.length, entries.length);
  if (connections === undefined) return needed;
  const [field, amount] = sources.length > entries.length ? ["sources", sources.length] : ["entries", entries.length];
  if (connections >= needed) return connections;
  throw new AppError(
    "invalid",
    `connections: given ${connections}, with ${amount} ${field}; allowed: at least ${needed}, one for each of them`,
    { field: "connections" },
  );
}

function gatewayOf(
  { producer: boxId, via }: TunnelWish,
  facts: TunnelFacts | undefined,
): Pick<ResolvedWish, "gatewayAddress" | "dialHost"> {
  const dialHost = via?.address ?? facts?.address;
  if (dialHost === undefined) {
    throw new AppError(
      "invalid",
      `via.address: left out, and box ${boxId} declares no address for its gateways (tunnels.address); allowed: the address at which the consumer's box reaches it`,
      { field: "via.address" },
    );
  }
  const listen = via?.listen ?? dialHost;
  if (ipAddressSchema.safeParse(listen).success) return { dialHost, gatewayAddress: listen };
  throw new AppError(
    "invalid",
    `via.listen: left out, and ${dialHost} is a name; allowed: the address of box ${boxId} itself to which that name leads`,
    { field: "via.listen" },
  );
}
