import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");

export function readPage(page: string): readonly string[] {
  return readFileSync(join(ROOT, page), "utf8").split("\n");
}

/** Of a row that names tests, each by its title after the file that it is in: how many, and those that are not there. */
export function findNamedTests(row: string): { readonly count: number; readonly missing: readonly string[] } {
  let source = "";
  let count = 0;
  const missing: string[] = [];
  for (const [, path, title] of row.matchAll(/`([^`]+\.ts)`|"([^"]+)"/g)) {
    if (path !== undefined) source = existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "";
    else if (title !== undefined) {
      count += 1;
      if (!source.includes(title)) missing.push(title);
    }
  }
  return { count, missing };
}
