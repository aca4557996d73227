import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

test("every row of the page of failures is shown by tests that are there, or said not to be", () => {
  const page = readFileSync(join(ROOT, "docs/transfer-faults.md"), "utf8");
  const missing: string[] = [];
  const named = new Set([...page.matchAll(/^- \*\*(T\d+)\*\*/gm)].map(([, row]) => row));
  for (const line of page.split("\n")) {
    const row = /^\| (T\d+) \|/.exec(line)?.[1];
    if (row === undefined) continue;
    named.add(row);
    let source = "";
    let count = 0;
    for (const [, path, title] of line.matchAll(/`([^`]+\.test\.ts)`|"([^"]+)"/g)) {
      if (path !== undefined) source = existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "";
      else if (title !== undefined) {
        count += 1;
        if (!source.includes(title)) missing.push(`${row}: ${title}`);
      }
    }
    if (count === 0) missing.push(`${row}: nothing`);
  }
  expect(missing).toEqual([]);
  expect([...named].sort()).toEqual(Array.from({ length: 34 }, (_, at) => `T${at + 1}`).sort());
});
