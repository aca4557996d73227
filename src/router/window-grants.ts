/** Of each stream. A rate is about its window by the round trip: 8 MiB carry 80 MB/s over 100 ms. */
export const WINDOW_BYTES = { small: 256 * 1024, large: 8 * 1024 * 1024 } as const;
/** More than what a reader that has stopped lets through (`relay.ts`), and what a small window carries over 300 ms. */
const BUSY_BYTES = 1.5 * WINDOW_BYTES.small;
const BUSY_WITHIN_MS = 1000;
const UNUSED_AFTER_MS = 10_000;

/** Windows of the streams of one connection. */
export interface WindowGrant {
  streams(count: number): void;
  received(bytes: number, nowMs: number): void;
  /** A stream of it is not read by the other side: what the router holds for it must not grow again. */
  shrink(): void;
  remove(): void;
}

export interface WindowGrants {
  /** `apply` sets the receive window of every stream of the connection, those to come included. It has the small one until then. */
  add(apply: (windowBytes: number) => void): WindowGrant;
  readonly grantedBytes: number;
}

interface Granted {
  apply(windowBytes: number): void;
  streams: number;
  isLarge: boolean;
  since: { ms: number; bytes: number };
  busyAtMs: number;
}

/**
 * Who is shown to need a large window gets one, within a budget for all: what is in a window may have to be held when the other side
 * does not read, and nothing that was granted can be taken back from a sender that uses it.
 */
export function createWindowGrants(budgetBytes: number): WindowGrants {
  const all = new Set<Granted>();
  const costOf = ({ isLarge, streams }: Granted) => (isLarge ? streams * (WINDOW_BYTES.large - WINDOW_BYTES.small) : 0);
  const granted = () => [...all].reduce((sum, each) => sum + costOf(each), 0);
  const setLarge = (each: Granted, isLarge: boolean) => {
    if (each.isLarge === isLarge) return;
    each.isLarge = isLarge;
    each.apply(isLarge ? WINDOW_BYTES.large : WINDOW_BYTES.small);
  };
  const fits = (each: Granted, nowMs: number): boolean => {
    const wanted = costOf({ ...each, isLarge: true });
    if (granted() + wanted <= budgetBytes) return true;
    for (const other of all) if (other.isLarge && nowMs - other.busyAtMs >= UNUSED_AFTER_MS) setLarge(other, false);
    return granted() + wanted <= budgetBytes;
  };
  return {
    get grantedBytes() {
      return granted();
    },
    add: (apply) => {
      const own: Granted = { apply, streams: 0, isLarge: false, since: { ms: 0, bytes: 0 }, busyAtMs: 0 };
      all.add(own);
      return {
        streams: (count) => {
          own.streams = count;
          if (own.isLarge && granted() > budgetBytes) setLarge(own, false);
        },
        received: (bytes, nowMs) => {
          if (nowMs - own.since.ms > BUSY_WITHIN_MS) own.since = { ms: nowMs, bytes: 0 };
          own.since.bytes += bytes;
          if (own.since.bytes < BUSY_BYTES) return;
          own.busyAtMs = nowMs;
          if (!own.isLarge && fits(own, nowMs)) setLarge(own, true);
        },
        shrink: () => setLarge(own, false),
        remove: () => all.delete(own),
      };
    },
  };
}
