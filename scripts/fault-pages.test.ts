import { expect, test } from "vitest";
import { findNamedTests, readPage } from "./named-tests.ts";

test.each([
  ["docs/remote-faults.md", 50],
  ["docs/session-faults.md", 30],
])("every test that %s names is there", (page, least) => {
  const rows = readPage(page)
    .filter((line) => line.startsWith("| "))
    .map(findNamedTests);
  expect(rows.flatMap(({ missing }) => missing)).toEqual([]);
  expect(rows.reduce((total, { count }) => total + count, 0)).toBeGreaterThanOrEqual(least);
});
