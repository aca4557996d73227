import { expect, test } from "vitest";
import { createHostLoad, parseCpuTimes, parseMeminfo, parsePressure } from "./host-load.ts";

test("busy time is all but idle and waiting for a disk; guests are counted once", () => {
  const text =
    "cpu  100 10 40 800 50 0 5 15 30 0\ncpu0 50 5 20 400 25 0 2 8 15 0\ncpu1 50 5 20 400 25 0 3 7 15 0\nintr 1\n";
  expect(parseCpuTimes(text)).toEqual({ busyTicks: 170, totalTicks: 1020, cores: 2 });
});

test("what is available is the kernel's own estimate", () => {
  const text = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    4000 kB\n";
  expect(parseMeminfo(text)).toEqual({ totalBytes: 16_384_000, availableBytes: 4_096_000 });
});

test("pressure is that of some process in the last ten seconds", () => {
  const text =
    "some avg10=5.99 avg60=6.88 avg300=8.27 total=2775964436\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  expect(parsePressure(text)).toBe(5.99);
});

test.each(["", "cpu\n", "garbage"])("%j tells nothing", (text) => {
  expect(parseCpuTimes(text)).toBeUndefined();
  expect(parseMeminfo(text)).toBeUndefined();
  expect(parsePressure(text)).toBeUndefined();
});

test("this machine tells its load; a machine without procfs tells nothing", () => {
  const load = createHostLoad();
  expect(load.cpu()?.cores).toBeGreaterThanOrEqual(1);
  expect(load.memory()?.availableBytes).toBeGreaterThan(0);
  const none = createHostLoad("/nonexistent");
  expect([none.cpu(), none.memory(), none.cpuPressurePercent()]).toEqual([undefined, undefined, undefined]);
});
