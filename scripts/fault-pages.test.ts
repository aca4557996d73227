import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

test.each([
  ["docs/remote-faults.md", 50],
  ["docs/session-faults.md", 30],
])("every test that %s names is there", (page, least) => {
  const rows = readFileSync(join(ROOT, page), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| "));
  const missing: string[] = [];
  let count = 0;
  for (const row of rows) {
    let source = "";
    for (const [, path, title] of row.matchAll(/`([^`]+\.ts)`|"([^"]+)"/g)) {
      if (path !== undefined) source = existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "";
      else if (title !== undefined) {
        count += 1;
        if (!source.includes(title)) missing.push(title);
      }
    }
  }
  expect(missing).toEqual([]);
  expect(count).toBeGreaterThanOrEqual(least);
});
