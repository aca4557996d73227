import type { Clock } from "../base/clock.ts";
import type { HeartbeatAnswer } from "../contract/transfer/worker-heartbeat.ts";
import { createPace, type Pace, type RatePace } from "./wire/pace.ts";

/**
 * What the hub lets a request take, shared by all that this worker has of it: one lease that is over, or that waits for its peer, leaves
 * its share to the others at once, and not with the next heartbeat.
 */
export interface RequestPaces {
  /** `rate`: bytes a second, of each such lease; `undefined`: as fast as it goes. */
  granted(lease: { readonly id: string; readonly request: string; readonly rate: number | undefined }): Pace;
  over(leaseId: string): void;
  /** What a heartbeat was answered with. */
  told(rates: HeartbeatAnswer["rates"]): void;
}

interface Shared {
  /** Of all leases that are here, together. */
  rate: number;
  readonly pace: RatePace;
  readonly leases: Set<string>;
}

export function createRequestPaces(clock: Clock): RequestPaces {
  const free = createPace(() => undefined, clock);
  const requests = new Map<string, Shared>();
  /** Also of leases that ended since the last heartbeat: the hub counts them until then. */
  const requestOf = new Map<string, string>();
  return {
    granted: ({ id, request, rate }) => {
      if (rate === undefined) return free;
      const shared = requests.get(request) ?? begin();
      requests.set(request, shared);
      shared.leases.add(id);
      requestOf.set(id, request);
      // Each of as many as there are has the same.
      shared.rate = rate * shared.leases.size;
      return shared.pace;
    },
    over: (id) => {
      const request = requestOf.get(id);
      const shared = request === undefined ? undefined : requests.get(request);
      shared?.leases.delete(id);
    },
    told: (rates) => {
      const sums = new Map<string, number>();
      for (const { lease_id: id, rate_bytes_s: rate } of rates) {
        const request = requestOf.get(id);
        if (request !== undefined) sums.set(request, (sums.get(request) ?? 0) + rate);
      }
      for (const [request, sum] of sums) {
        const shared = requests.get(request);
        if (shared !== undefined) shared.rate = sum;
      }
      // Else leases that follow each other would each begin with nothing owed.
      for (const [request, { leases, pace }] of requests) {
        if (leases.size === 0 && pace.isRested()) requests.delete(request);
      }
      for (const [id, request] of requestOf) {
        if (requests.get(request)?.leases.has(id) !== true) requestOf.delete(id);
      }
    },
  };

  function begin(): Shared {
    const shared: Shared = { rate: 1, leases: new Set(), pace: createPace(() => shared.rate, clock) };
    return shared;
  }
}
