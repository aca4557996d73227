import type { HubContext } from "./hub-context.ts";

/** A lease as the hub that wants it sees it. */
export interface HeldLease {
  /**
   * Takes or renews it where that is due. `isNew`: another held it, or nobody, since this hub last did. Rejects with the store's
   * error; the next call asks again.
   */
  hold(): Promise<{ readonly isHeld: boolean; readonly isNew: boolean }>;
  /** As of the last answer. */
  isHeld(): boolean;
  /** Lets another hub have it at once. Never rejects: it runs out by itself. */
  release(): Promise<void>;
}

export interface HeldLeaseOptions {
  readonly name: string;
  readonly ttlMs: number;
  /** Between two times that the store is asked, whoever holds it. */
  readonly renewMs: number;
}

export function createHeldLease(
  { name, ttlMs, renewMs }: HeldLeaseOptions,
  { store, clock, hubId }: Pick<HubContext, "store" | "clock" | "hubId">,
): HeldLease {
  let fence: number | undefined;
  let dueAtMs = Number.NEGATIVE_INFINITY;
  return {
    hold: async () => {
      if (clock.monotonicMs() < dueAtMs) return { isHeld: fence !== undefined, isNew: false };
      const askedMs = clock.monotonicMs();
      const answer = await store.leases.acquire(name, { holder: hubId, ttlMs, nowMs: clock.wallMs() });
      const before = fence;
      fence = answer.held ? answer.lease.fence : undefined;
      dueAtMs = askedMs + renewMs;
      return { isHeld: answer.held, isNew: fence !== undefined && fence !== before };
    },
    isHeld: () => fence !== undefined,
    release: async () => {
      if (fence !== undefined) await store.leases.release(name, fence).catch(() => undefined);
      fence = undefined;
      dueAtMs = Number.NEGATIVE_INFINITY;
    },
  };
}
