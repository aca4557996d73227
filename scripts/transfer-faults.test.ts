import { expect, test } from "vitest";
import { findNamedTests, readPage } from "./named-tests.ts";

test("every row of the page of failures is shown by tests that are there, or said not to be", () => {
  const wrong: string[] = [];
  const named = new Set<string | undefined>();
  for (const line of readPage("docs/transfer-faults.md")) {
    const saidNotToBe = /^- \*\*(T\d+)\*\*/.exec(line)?.[1];
    if (saidNotToBe !== undefined) named.add(saidNotToBe);
    const row = /^\| (T\d+) \|/.exec(line)?.[1];
    if (row === undefined) continue;
    named.add(row);
    const { count, missing } = findNamedTests(line);
    wrong.push(...missing.map((title) => `${row}: ${title}`), ...(count === 0 ? [`${row}: nothing`] : []));
  }
  expect(wrong).toEqual([]);
  expect([...named].sort()).toEqual(Array.from({ length: 34 }, (_, at) => `T${at + 1}`).sort());
});
