import { expect, test } from "vitest";
import { durabilityWarnings } from "./redis-connection.ts";

test("a Redis that evicts, or that keeps no log of its writes, is warned of", () => {
  const info = "# Memory\r\nmaxmemory_policy:allkeys-lru\r\n# Persistence\r\naof_enabled:0\r\n";
  expect(durabilityWarnings(info)).toEqual([expect.stringMatching(/appendonly/), expect.stringMatching(/allkeys-lru/)]);
});

test("one that says nothing of either is not", () => {
  expect(durabilityWarnings("maxmemory_policy:noeviction\r\naof_enabled:1\r\n")).toEqual([]);
  expect(durabilityWarnings("")).toEqual([]);
});
