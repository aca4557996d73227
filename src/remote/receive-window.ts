/**
 * How far the sender of a pipe may go. It grows while the reader keeps up and the window is what holds the sender back, so that a
 * quick reader behind a long link gets much, and a thousand stuck ones cost little.
 */
export interface ReceiveWindow {
  /** Total since the pipe's beginning. */
  readonly grantedTo: number;
  /** False: the sender has gone further than it may. */
  received(bytes: number): boolean;
  /** The reader took these. Gives the new total to grant, when it is worth a frame. */
  consumed(bytes: number, at: { readonly nowMs: number; readonly rttMs: number }): number | undefined;
  /** Gives back what it has taken of the ledger. */
  close(): void;
}

/** What all windows of a process may take together. */
export interface WindowLedger {
  readonly takenBytes: number;
  /** Takes as much of it as there is: all or nothing. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

export const WINDOW_LIMITS = { firstBytes: 256 * 1024, maxBytes: 16 * 1024 * 1024 } as const;
/** What a timer can tell, where the round trip is shorter or not known yet. */
const SHORTEST_TRIP_MS = 1;
export const LEDGER_BYTES = 256 * 1024 * 1024;

export function createWindowLedger(limitBytes: number = LEDGER_BYTES): WindowLedger {
  let takenBytes = 0;
  return {
    get takenBytes() {
      return takenBytes;
    },
    take: (bytes) => {
      if (takenBytes + bytes > limitBytes) return false;
      takenBytes += bytes;
      return true;
    },
    give: (bytes) => {
      takenBytes -= bytes;
    },
  };
}

/** Every pipe has its first window, whatever the ledger says: only growth is taken from it. */
export function createReceiveWindow(ledger: WindowLedger): ReceiveWindow {
  let windowBytes: number = WINDOW_LIMITS.firstBytes;
  let grantedTo: number = WINDOW_LIMITS.firstBytes;
  let received = 0;
  let consumed = 0;
  let epoch: { readonly sinceMs: number; bytes: number } | undefined;

  /** What is read within two round trips does not fit: the sender waits for credit, not the reader for bytes. */
  const grow = (bytes: number, { nowMs, rttMs }: { readonly nowMs: number; readonly rttMs: number }) => {
    epoch ??= { sinceMs: nowMs, bytes: 0 };
    epoch.bytes += bytes;
    const tookMs = nowMs - epoch.sinceMs;
    const tripMs = Math.max(rttMs, SHORTEST_TRIP_MS);
    if (tookMs < tripMs) return;
    const isTooSmall = (epoch.bytes / tookMs) * 2 * tripMs > windowBytes;
    epoch = { sinceMs: nowMs, bytes: 0 };
    if (isTooSmall && windowBytes < WINDOW_LIMITS.maxBytes && ledger.take(windowBytes)) windowBytes *= 2;
  };

  return {
    get grantedTo() {
      return grantedTo;
    },
    received: (bytes) => {
      received += bytes;
      return received <= grantedTo;
    },
    consumed: (bytes, at) => {
      consumed += bytes;
      grow(bytes, at);
      const more = consumed + windowBytes - grantedTo;
      // A large one is told of in smaller parts: what is not told of yet carries nothing.
      if (more < Math.min(windowBytes / 2, Math.max(windowBytes / 4, WINDOW_LIMITS.firstBytes))) return undefined;
      grantedTo += more;
      return grantedTo;
    },
    close: () => {
      ledger.give(windowBytes - WINDOW_LIMITS.firstBytes);
      windowBytes = WINDOW_LIMITS.firstBytes;
    },
  };
}
