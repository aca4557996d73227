import type { TestFileRecord, TestRecord } from "./test-record.ts";

export interface TestVerdict {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
  readonly failures: readonly string[];
  /** Failed beside others and passed alone. */
  readonly unsteady: readonly string[];
}

/** More than these, and it is no matter of what else ran. */
const MOST_AGAIN = 6;

/**
 * The files that are run once more, each alone: tests with real programs share two cores with others, and what fails then need not be
 * at fault. Empty where nothing failed, where too much did, or where nobody knows which file it was.
 */
export function filesToRunAgain({ files, strays }: TestRecord): readonly string[] {
  const known = strays.filter((path) => path !== undefined);
  if (known.length < strays.length) return [];
  const again = new Set([...files.filter(isFaulty).map(({ path }) => path), ...known]);
  return again.size > MOST_AGAIN ? [] : [...again];
}

/** `again`: what became of each file that was run once more. It takes the place of what the first run said of that file. */
export function judgeTests(first: TestRecord, again: ReadonlyMap<string, TestRecord>): TestVerdict {
  const failures: string[] = [];
  const unsteady: string[] = [];
  const skipped: string[] = [];
  let passed = 0;
  const judge = (file: TestFileRecord, before: TestFileRecord | undefined) => {
    const failedBefore = new Set(before?.tests.filter(({ state }) => state === "failed").map(({ name }) => name));
    for (const { name, state } of file.tests) {
      if (state === "failed") failures.push(name);
      else if (state === "skipped") skipped.push(name);
      else passed += 1;
      if (state === "passed" && failedBefore.has(name)) unsteady.push(name);
    }
    const isOnlyBroken = file.isBroken && file.tests.every(({ state }) => state !== "failed");
    if (isOnlyBroken) failures.push(`${file.path} failed outside its tests`);
    else if (before?.isBroken && !file.isBroken) unsteady.push(`${file.path} outside its tests`);
  };
  for (const file of first.files) {
    const second = again.get(file.path)?.files.find(({ path }) => path === file.path);
    if (second === undefined) judge(file, undefined);
    else judge(second, file);
  }
  for (const path of first.strays) {
    const second = path === undefined ? undefined : again.get(path);
    const text = `something thrown outside any test, in ${path ?? "a file that nobody knows"}`;
    if (second === undefined || second.strays.length > 0) failures.push(text);
    else unsteady.push(text);
  }
  for (const [path, { files, strays }] of again) {
    if (files.length === 0) failures.push(`${path} could not be run again`);
    if (strays.length > 0 && !first.strays.includes(path))
      failures.push(`something thrown outside any test, in ${path}`);
  }
  return { passed, failed: failures.length, skipped, failures, unsteady };
}

function isFaulty({ isBroken, tests }: TestFileRecord): boolean {
  return isBroken || tests.some(({ state }) => state === "failed");
}
