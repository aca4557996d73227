import { expect, test } from "vitest";
import { createReceiveWindow, createWindowLedger, type ReceiveWindow, WINDOW_LIMITS } from "./receive-window.ts";

/** A sender that is always at its limit; the reader takes all after each round trip. */
function readOn(window: ReceiveWindow, rounds: number, rttMs: number, rttKnownMs = rttMs) {
  let sent = 0;
  for (let round = 1; round <= rounds; round++) {
    const bytes = window.grantedTo - sent;
    expect(window.received(bytes)).toBe(true);
    sent += bytes;
    for (let left = bytes; left > 0; left -= 65_536) {
      window.consumed(Math.min(left, 65_536), { nowMs: round * rttMs, rttMs: rttKnownMs });
    }
  }
  return window.grantedTo - sent;
}

test("the window of a quick reader grows to its limit, and takes it from the ledger", () => {
  const ledger = createWindowLedger();
  const window = createReceiveWindow(ledger);
  expect(readOn(window, 40, 50)).toBe(WINDOW_LIMITS.maxBytes);
  expect(ledger.takenBytes).toBe(WINDOW_LIMITS.maxBytes - WINDOW_LIMITS.firstBytes);
  window.close();
  expect(ledger.takenBytes).toBe(0);
});

test("a slow reader keeps the first one: the window is not what holds its sender back", () => {
  const ledger = createWindowLedger();
  expect(readOn(createReceiveWindow(ledger), 40, 2000, 50)).toBe(WINDOW_LIMITS.firstBytes);
  expect(ledger.takenBytes).toBe(0);
});

test("what all take together has a limit, and everyone has the first one", () => {
  const ledger = createWindowLedger(4 * WINDOW_LIMITS.firstBytes);
  const windows = Array.from({ length: 50 }, () => createReceiveWindow(ledger));
  for (const window of windows) expect(readOn(window, 40, 50)).toBeGreaterThanOrEqual(WINDOW_LIMITS.firstBytes);
  expect(ledger.takenBytes).toBeLessThanOrEqual(4 * WINDOW_LIMITS.firstBytes);
});

test("a byte beyond what was granted is told", () => {
  const window = createReceiveWindow(createWindowLedger());
  expect(window.received(WINDOW_LIMITS.firstBytes)).toBe(true);
  expect(window.received(1)).toBe(false);
});
