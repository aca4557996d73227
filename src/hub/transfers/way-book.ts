import type { Clock } from "../../base/clock.ts";
import type { Dial } from "../../contract/transfer/assignment.ts";
import type { GivenUp } from "./choose-way.ts";

/** Which ways did not lead from a source's storage to a worker. Of this hub: another one finds out by itself, which costs an attempt. */
export interface WayBook {
  of(worker: string, storage: string): readonly GivenUp[];
  giveUp(worker: string, storage: string, what: { readonly way: Dial; readonly reason: string }): void;
  /** Bytes came by it. */
  worked(worker: string, storage: string, way: Dial): void;
  /** They are sent to this router now. */
  sent(worker: string, storage: string, router: string): void;
  /** Where they were when that failed last. */
  badRouter(worker: string, storage: string): string | undefined;
  /** This worker was told by that source that something cannot be read. */
  sourceFailed(worker: string, source: string): void;
  /** Lately: another source is asked, if there is one. By nobody else's word than that of who asks. */
  isFailing(worker: string, source: string): boolean;
  prune(): void;
}

const GIVEN_UP_MS = { first: 30_000, most: 10 * 60_000 } as const;
/** After that, how often it failed before counts no more. */
const FORGOTTEN_MS = 3_600_000;
const SOURCE_REST_MS = 60_000;

interface Pair {
  readonly ways: Map<Dial, GivenUp>;
  router?: string | undefined;
  badRouter?: string | undefined;
}

export function createWayBook({ clock }: { readonly clock: Pick<Clock, "monotonicMs"> }): WayBook {
  const pairs = new Map<string, Pair>();
  const failingUntil = new Map<string, number>();
  const find = (worker: string, storage: string) => pairs.get(`${worker}|${storage}`);
  const make = (worker: string, storage: string) => {
    const pair: Pair = find(worker, storage) ?? { ways: new Map() };
    pairs.set(`${worker}|${storage}`, pair);
    return pair;
  };
  return {
    of: (worker, storage) => [...(find(worker, storage)?.ways.values() ?? [])],
    giveUp: (worker, storage, { way, reason }) => {
      const pair = make(worker, storage);
      const nowMs = clock.monotonicMs();
      const before = pair.ways.get(way);
      if (way === "router") pair.badRouter = pair.router;
      // Both ends tell of one attempt, and leases that were out together fail together.
      const times = before === undefined ? 1 : before.times + (nowMs < before.untilMs ? 0 : 1);
      const restMs = Math.min(GIVEN_UP_MS.most, GIVEN_UP_MS.first * 2 ** (times - 1));
      pair.ways.set(way, { way, reason, atMs: nowMs, untilMs: nowMs + restMs, times });
    },
    worked: (worker, storage, way) => {
      const pair = find(worker, storage);
      pair?.ways.delete(way);
      if (way === "router" && pair !== undefined) pair.badRouter = undefined;
    },
    sent: (worker, storage, router) => {
      make(worker, storage).router = router;
    },
    badRouter: (worker, storage) => find(worker, storage)?.badRouter,
    sourceFailed: (worker, source) =>
      void failingUntil.set(`${worker}|${source}`, clock.monotonicMs() + SOURCE_REST_MS),
    isFailing: (worker, source) => clock.monotonicMs() < (failingUntil.get(`${worker}|${source}`) ?? 0),
    prune: () => {
      const nowMs = clock.monotonicMs();
      for (const [key, untilMs] of failingUntil) if (nowMs >= untilMs) failingUntil.delete(key);
      for (const [key, { ways }] of pairs) {
        for (const [way, { untilMs }] of ways) if (nowMs - untilMs > FORGOTTEN_MS) ways.delete(way);
        if (ways.size === 0) pairs.delete(key);
      }
    },
  };
}
