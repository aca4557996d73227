import { expect, it } from "vitest";
import { createTransferRates } from "./transfer-rates.ts";

const MIB = 1024 * 1024;

function begin() {
  const time = { nowMs: 1000 };
  const rates = createTransferRates({ clock: { monotonicMs: () => time.nowMs } });
  return { time, rates };
}

it("is what came of late, also where it comes seldom, and not known before two seconds", () => {
  const { time, rates } = begin();
  let bytes = 0;
  expect(rates.look("a", bytes)).toBeUndefined();
  for (let second = 1; second <= 60; second++) {
    time.nowMs += 1000;
    // A piece every fourth second.
    if (second % 4 === 0) bytes += 4 * MIB;
    const rate = rates.look("a", bytes);
    if (second < 2) expect(rate).toBeUndefined();
    if (second > 15) expect(Math.abs((rate ?? 0) / MIB - 1)).toBeLessThan(0.3);
  }
});

it("falls to nothing where nothing comes any more", () => {
  const { time, rates } = begin();
  for (let second = 0; second < 20; second++) {
    rates.look("a", second * MIB);
    time.nowMs += 1000;
  }
  for (let second = 0; second < 16; second++) {
    rates.look("a", 19 * MIB);
    time.nowMs += 1000;
  }
  expect(rates.look("a", 19 * MIB)).toBe(0);
});

it("begins again where less is there than was, and where nobody looked for long; each transfer has its own", () => {
  const { time, rates } = begin();
  rates.look("a", 10 * MIB);
  rates.look("b", 0);
  time.nowMs += 4000;
  expect(rates.look("a", 2 * MIB)).toBeUndefined();
  expect(rates.look("b", 4 * MIB)).toBe(MIB);
  time.nowMs += 31_000;
  expect(rates.look("b", 400 * MIB)).toBeUndefined();
  expect(rates.prune()).toBe(1);
});
