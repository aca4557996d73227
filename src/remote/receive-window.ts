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

export const WINDOW_LIMITS = { firstBytes: 256 * 1024, maxBytes: 8 * 1024 * 1024 } as const;
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
  let grantedMs = Number.NEGATIVE_INFINITY;

  return {
    get grantedTo() {
      return grantedTo;
    },
    received: (bytes) => {
      received += bytes;
      return received <= grantedTo;
    },
    consumed: (bytes, { nowMs, rttMs }) => {
      consumed += bytes;
      if (consumed + windowBytes - grantedTo < windowBytes / 2) return undefined;
      // Half a window within a round trip or two: the sender waits for credit, not the reader for bytes.
      const isShort = nowMs - grantedMs < Math.max(2 * rttMs, 1);
      if (isShort && windowBytes < WINDOW_LIMITS.maxBytes && ledger.take(windowBytes)) windowBytes *= 2;
      grantedMs = nowMs;
      grantedTo = consumed + windowBytes;
      return grantedTo;
    },
    close: () => {
      ledger.give(windowBytes - WINDOW_LIMITS.firstBytes);
      windowBytes = WINDOW_LIMITS.firstBytes;
    },
  };
}
