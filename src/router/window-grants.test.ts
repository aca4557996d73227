import { expect, it } from "vitest";
import { createWindowGrants, WINDOW_BYTES } from "./window-grants.ts";

const BUSY = 1.5 * WINDOW_BYTES.small;
const STEP = WINDOW_BYTES.large - WINDOW_BYTES.small;

function grant(grants: ReturnType<typeof createWindowGrants>) {
  const set: number[] = [];
  const own = grants.add((bytes) => set.push(bytes));
  own.streams(1);
  return { ...own, set };
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
