import { afterEach, expect, test } from "vitest";
import { forgetProcessUsage, readProcessUsage } from "./process-usage.ts";

afterEach(forgetProcessUsage);

const GONE = 2 ** 22 - 1;

test("reads this process and leaves out one that is gone", async () => {
  const usage = await readProcessUsage([process.pid, GONE]);
  expect(usage.get(process.pid)?.rssBytes).toBeGreaterThan(1_000_000);
  expect(usage.has(GONE)).toBe(false);
});

test("reads nothing when every process is gone or none is asked for", async () => {
  expect((await readProcessUsage([GONE])).size).toBe(0);
  expect((await readProcessUsage([])).size).toBe(0);
});
