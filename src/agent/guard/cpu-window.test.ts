import { expect, test } from "vitest";
import { addReading, type CpuWindow, cpuPercentOf } from "./cpu-window.ts";

const times = (busyTicks: number, totalTicks: number) => ({ busyTicks, totalTicks, cores: 2 });

test("the load is that of the last ten seconds, not of the time since the boot", () => {
  let window: CpuWindow = [];
  for (let second = 0; second <= 40; second += 2)
    window = addReading(window, times(second < 20 ? 0 : (second - 20) * 200, second * 200));
  expect(cpuPercentOf(window)).toBe(100);
  expect(window).toHaveLength(6);
});

test("one reading tells nothing, and neither do counters that went back", () => {
  expect(cpuPercentOf([])).toBeUndefined();
  expect(cpuPercentOf(addReading([], times(5, 10)))).toBeUndefined();
  const reset = addReading(addReading([], times(500, 1000)), times(5, 10));
  expect(cpuPercentOf(reset)).toBeUndefined();
  expect(addReading(reset, undefined)).toEqual([]);
});
