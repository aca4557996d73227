import type { Clock } from "../../base/clock.ts";

/** Spreads connections over the networks on which a worker can be reached. */
export interface EndpointTurns {
  /** Those that were not found broken lately first, of them those with the fewest connections, else as given. */
  inTurn<Endpoint extends { readonly address: string }>(
    worker: string,
    endpoints: readonly Endpoint[],
  ): readonly Endpoint[];
  /** A connection is tried there. */
  use(worker: string, address: string): EndpointUse;
}

export interface EndpointUse {
  /** It is not used any more; once. Broken: it could not be opened, or did not get on. */
  over(isBroken: boolean): void;
}

const AVOIDED_MS = 30_000;

export function createEndpointTurns(clock: Pick<Clock, "monotonicMs">): EndpointTurns {
  const used = new Map<string, number>();
  const brokenAtMs = new Map<string, number>();
  const keyOf = (worker: string, address: string) => `${worker} ${address}`;
  const rankOf = (key: string): number => {
    const atMs = brokenAtMs.get(key);
    if (atMs === undefined) return Number.NEGATIVE_INFINITY;
    if (clock.monotonicMs() - atMs < AVOIDED_MS) return atMs;
    brokenAtMs.delete(key);
    return Number.NEGATIVE_INFINITY;
  };
  return {
    inTurn: (worker, endpoints) =>
      endpoints
        .map((endpoint, index) => {
          const key = keyOf(worker, endpoint.address);
          return { endpoint, index, rank: rankOf(key), count: used.get(key) ?? 0 };
        })
        .sort((one, other) => compare(one.rank, other.rank) || one.count - other.count || one.index - other.index)
        .map(({ endpoint }) => endpoint),
    use: (worker, address) => {
      const key = keyOf(worker, address);
      used.set(key, (used.get(key) ?? 0) + 1);
      let isOver = false;
      return {
        over: (isBroken) => {
          if (isBroken) brokenAtMs.set(key, clock.monotonicMs());
          if (isOver) return;
          isOver = true;
          const left = (used.get(key) ?? 1) - 1;
          if (left === 0) used.delete(key);
          else used.set(key, left);
        },
      };
    },
  };
}

/** Both may be infinite. */
function compare(one: number, other: number): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
