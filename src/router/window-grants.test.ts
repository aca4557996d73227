import { expect, it } from "vitest";
import { createWindowGrants, WINDOW_BYTES } from "./window-grants.ts";

const BUSY = 1.5 * WINDOW_BYTES.small;
const STEP = WINDOW_BYTES.large - WINDOW_BYTES.small;

/** A connection of one stream. Its sender agrees at once, or when it is told to. */
function grant(grants: ReturnType<typeof createWindowGrants>, { agreesAtOnce = true } = {}) {
  const set: number[] = [];
  const agreeing: (() => void)[] = [];
  const holds = { bytes: 0 };
  const own = grants.add({
    apply: (bytes, onAgreed) => {
      set.push(bytes);
      if (agreesAtOnce) onAgreed();
      else agreeing.push(onAgreed);
    },
    heldAbove: (bytes) => Math.max(0, holds.bytes - bytes),
  });
  own.streams(1);
  return { ...own, set, holds, agree: () => agreeing.shift()?.() };
}

it("gives a large window to who sends much within a second, and to nobody else", () => {
  const grants = createWindowGrants(10 * STEP);
  const slow = grant(grants);
  const busy = grant(grants);
  for (let second = 0; second < 60; second++) slow.received(BUSY - 1, second * 1001);
  busy.received(BUSY / 2, 0);
  expect(busy.set).toEqual([]);
  busy.received(BUSY / 2, 900);
  expect([slow.set, busy.set]).toEqual([[], [WINDOW_BYTES.large]]);
});

it("grants no more than its budget, and takes back what is not used for who needs it", () => {
  const grants = createWindowGrants(2 * STEP);
  const [one, two, three] = [grant(grants), grant(grants), grant(grants)];
  one.received(BUSY, 0);
  two.received(BUSY, 5000);
  three.received(BUSY, 6000);
  expect(three.set).toEqual([]);
  expect(grants.grantedBytes).toBe(2 * STEP);
  three.received(BUSY, 10_000);
  expect([one.set, two.set, three.set]).toEqual([
    [WINDOW_BYTES.large, WINDOW_BYTES.small],
    [WINDOW_BYTES.large],
    [WINDOW_BYTES.large],
  ]);
  two.remove();
  expect(grants.grantedBytes).toBe(STEP);
});

it("shrinks a connection that opens more streams than the budget holds, or whose reader stalls", () => {
  const grants = createWindowGrants(2 * STEP);
  const one = grant(grants);
  one.received(BUSY, 0);
  one.streams(3);
  expect(one.set.at(-1)).toBe(WINDOW_BYTES.small);
  one.streams(2);
  one.received(BUSY, 2000);
  expect(one.set.at(-1)).toBe(WINDOW_BYTES.large);
  one.shrink();
  expect([one.set.at(-1), grants.grantedBytes]).toEqual([WINDOW_BYTES.small, 0]);
});

it("counts a window that it took back whole until the sender keeps to that, and then what it has sent and nobody reads", () => {
  const grants = createWindowGrants(STEP);
  const stuck = grant(grants, { agreesAtOnce: false });
  const other = grant(grants);
  stuck.received(BUSY, 0);
  stuck.agree();
  stuck.holds.bytes = WINDOW_BYTES.small + 5_000_000;
  stuck.shrink();
  expect(grants.grantedBytes).toBe(STEP);
  stuck.agree();
  expect(grants.grantedBytes).toBe(5_000_000);
  other.received(BUSY, 20_000);
  expect(other.set).toEqual([]);

  stuck.holds.bytes = WINDOW_BYTES.small;
  expect(grants.grantedBytes).toBe(0);
  other.received(BUSY, 20_000);
  expect(other.set).toEqual([WINDOW_BYTES.large]);
});

it("gives nothing anew to a sender that does not answer what it was told before", () => {
  const grants = createWindowGrants(10 * STEP);
  const deaf = grant(grants, { agreesAtOnce: false });
  deaf.received(BUSY, 0);
  deaf.agree();
  deaf.shrink();
  for (let second = 2; second < 20; second++) deaf.received(BUSY, second * 1000);
  expect(deaf.set).toEqual([WINDOW_BYTES.large, WINDOW_BYTES.small]);
  expect(grants.grantedBytes).toBe(STEP);
  deaf.agree();
  deaf.received(BUSY, 20_000);
  expect(deaf.set.at(-1)).toBe(WINDOW_BYTES.large);
});

it("counts what a connection still holds as room that its own next window does not take twice", () => {
  const grants = createWindowGrants(STEP);
  const own = grant(grants);
  own.received(BUSY, 0);
  own.holds.bytes = WINDOW_BYTES.small + 1000;
  own.shrink();
  own.received(BUSY, 2000);
  expect(own.set.at(-1)).toBe(WINDOW_BYTES.large);
});
