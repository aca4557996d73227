import { fault } from "../fault.ts";
import { FRAME_HEAD_BYTES, PACK_BYTES, WINDOW_BYTES } from "./frames.ts";

/** What a rate moves in this time may be under way: little of a short transfer, and enough for most ways there and back. */
const AHEAD_S = 0.5;
const METER_MS = 1000;
/** The longest that goes. */
const FRAME_BYTES = FRAME_HEAD_BYTES + PACK_BYTES;

/** Pure. What may be under way, and a frame beside it, on each of so many connections that share a rate; `undefined`: as fast as it goes. */
export function windowFor(bytesPerSecond: number | undefined, connections: number): number {
  if (bytesPerSecond === undefined) return WINDOW_BYTES;
  return Math.min(WINDOW_BYTES, Math.ceil((bytesPerSecond * AHEAD_S) / Math.max(1, connections)));
}

/** Of data frames: what was sent, how much of it was taken, and what may go. All bytes count from the connection's begin. */
export interface LinkWindow {
  /** For what goes next the receiver asked for so much under way, and a frame. */
  hold(askedBytes: number, nowMs: number): void;
  hasRoom(bytes: number): boolean;
  sent(bytes: number): void;
  /** Throws `corrupt` for what cannot be. */
  taken(bytes: number, nowMs: number): void;
}

/**
 * What the receiver asked for holds until it is seen to take more than that in a second: its rate may rise while the bytes come, and
 * a way may be longer than the rate's half second. Without the frame beside it a window that holds one could not show that.
 */
export function createLinkWindow(): LinkWindow {
  const count = { sent: 0, taken: 0 };
  let asked = WINDOW_BYTES;
  let meter = { sinceMs: 0, since: 0, bytesPerSecond: 0 };

  const limit = () => Math.min(WINDOW_BYTES, Math.max(asked, meter.bytesPerSecond) + FRAME_BYTES);
  return {
    hold: (askedBytes, nowMs) => {
      asked = askedBytes;
      // What goes before them is of others, and says nothing of their rate.
      meter = { sinceMs: nowMs, since: count.sent, bytesPerSecond: 0 };
    },
    hasRoom: (bytes) => count.sent - count.taken + bytes <= limit(),
    sent: (bytes) => {
      count.sent += bytes;
    },
    taken: (bytes, nowMs) => {
      if (bytes < count.taken || bytes > count.sent) {
        throw fault("corrupt", `the peer says that it has taken ${bytes} of ${count.sent} bytes`);
      }
      count.taken = bytes;
      const passedMs = nowMs - meter.sinceMs;
      if (passedMs < METER_MS) return;
      const bytesPerSecond = (Math.max(0, bytes - meter.since) * 1000) / passedMs;
      meter = { sinceMs: nowMs, since: Math.max(bytes, meter.since), bytesPerSecond };
    },
  };
}
