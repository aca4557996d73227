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

/** The streams of one connection, as whoever grants windows sees them. */
export interface WindowHolder {
  /** Sets the receive window of every stream, those to come included; `onAgreed` once the sender keeps to that. It is the small one at first. */
  apply(windowBytes: number, onAgreed: () => void): void;
  /** What has come and waits for its reader, of each stream as far as it is more than this, together. */
  heldAbove(bytes: number): number;
}

export interface WindowGrants {
  add(holder: WindowHolder): WindowGrant;
  /** What may have to be held beyond the small windows. */
  readonly grantedBytes: number;
}

interface Granted extends WindowHolder {
  streams: number;
  isLarge: boolean;
  /** Its sender keeps to the window that was set last. */
  isAgreed: boolean;
  since: { ms: number; bytes: number };
  busyAtMs: number;
}

const STEP_BYTES = WINDOW_BYTES.large - WINDOW_BYTES.small;

/**
 * Who is shown to need a large window gets one, within a budget for all: what is in a window may have to be held when the other side
 * does not read, and nothing that was granted can be taken back from a sender that uses it. So a window that was taken back counts whole until the
 * sender has agreed, and from then on as what is held above the small one, until its reader has read that.
 */
export function createWindowGrants(budgetBytes: number): WindowGrants {
  /** Those that cost something. */
  const costly = new Set<Granted>();
  const costOf = ({ isLarge, isAgreed, streams, heldAbove }: Granted) =>
    isLarge || !isAgreed ? streams * STEP_BYTES : heldAbove(WINDOW_BYTES.small);
  const granted = () => {
    let bytes = 0;
    for (const each of costly) {
      const cost = costOf(each);
      if (cost === 0 && !each.isLarge && each.isAgreed) costly.delete(each);
      bytes += cost;
    }
    return bytes;
  };
  const setLarge = (each: Granted, isLarge: boolean) => {
    if (each.isLarge === isLarge) return;
    each.isLarge = isLarge;
    each.isAgreed = false;
    costly.add(each);
    each.apply(isLarge ? WINDOW_BYTES.large : WINDOW_BYTES.small, () => {
      each.isAgreed = each.isLarge === isLarge;
    });
  };
  const fits = (each: Granted, nowMs: number): boolean => {
    // It still may send what was taken back.
    if (costly.has(each) && !each.isAgreed) return false;
    // What it holds is a part of it.
    const wanted = each.streams * STEP_BYTES - costOf(each);
    if (granted() + wanted <= budgetBytes) return true;
    for (const other of costly) if (other.isLarge && nowMs - other.busyAtMs >= UNUSED_AFTER_MS) setLarge(other, false);
    return granted() + wanted <= budgetBytes;
  };
  return {
    get grantedBytes() {
      return granted();
    },
    add: (holder) => {
      const own: Granted = {
        ...holder,
        streams: 0,
        isLarge: false,
        isAgreed: true,
        since: { ms: 0, bytes: 0 },
        busyAtMs: 0,
      };
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
          if (own.isLarge) return;
          if (fits(own, nowMs)) setLarge(own, true);
          // To ask is work: not again for each piece that comes.
          else own.since = { ms: nowMs, bytes: 0 };
        },
        shrink: () => setLarge(own, false),
        remove: () => costly.delete(own),
      };
    },
  };
}
