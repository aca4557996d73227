/** Runs the checks, the tour and the tests one after the other and counts them; `scripts/test` is its front door. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { filesToRunAgain, judgeTests } from "./judge-tests.ts";
import { runForeground } from "./run-foreground.ts";
import { runHeld } from "./run-held.ts";
import { RECORD_VARIABLE, type TestRecord } from "./test-record.ts";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => join(root, "node_modules/.bin", name);
const args = process.argv.slice(2);
const isLong = args.includes("--long");
const patterns = args.filter((argument) => !argument.startsWith("--"));
const total: Count = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const EMPTY: TestRecord = { files: [], strays: [] };

if (patterns.length === 0) {
  const torture = join(root, "scripts/torture");
  // The tour and the torture wait more than they work, and have nothing in common: they go on beside each other.
  await Promise.all([
    inTurn([
      ["lint", bin("biome"), "check", "."],
      ["types", bin("tsc"), "--noEmit"],
      ["house", process.execPath, "scripts/check-house.ts"],
      ["contract of the router", process.execPath, "scripts/check-proto.ts"],
      ["tour", join(root, "scripts/try"), "--check"],
    ]),
    inTurn([
      ["torture", torture, "--minutes", "0.5", "--seed", "1"],
      ["kill -9 at the effects of an agent", torture, "--effects", ...(isLong ? [] : ["--every", "8"])],
      ["many restarts", torture, "--restarts", isLong ? "10000" : "200"],
    ]),
  ]);
}
await runTests();

for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

async function inTurn(checks: readonly (readonly [title: string, file: string, ...args: string[]])[]): Promise<void> {
  for (const [title, file, ...rest] of checks) {
    const beganMs = performance.now();
    const { code, output } = await runHeld(file, rest, { cwd: root });
    console.log(`\n== ${title} (${Math.round((performance.now() - beganMs) / 1000)} s)\n${output.trimEnd()}`);
    if (code === 0) total.passed += 1;
    else {
      total.failed += 1;
      failures.push(`${title} (exit ${code})`);
    }
  }
}

async function runTests(): Promise<void> {
  console.log("\n== tests");
  const directory = mkdtempSync(join(tmpdir(), "sluice-tests-"));
  try {
    const first = await runVitest(directory, patterns);
    if (first === undefined) return;
    const again = new Map<string, TestRecord>();
    for (const path of filesToRunAgain(first.record)) {
      console.log(`\n== once more, alone: ${path}`);
      const { record } = (await runVitest(directory, [path, "--maxConcurrency=1"])) ?? { record: EMPTY };
      again.set(path, record);
    }
    const { passed, failed, skipped, failures: found, unsteady } = judgeTests(first.record, again);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped.length;
    failures.push(...found);
    for (const name of skipped) console.log(`skipped: ${name}`);
    for (const name of unsteady) console.log(`unsteady, failed beside others and passed alone: ${name}`);
    if (first.code !== 0 && failed === 0 && again.size === 0) {
      total.failed += 1;
      failures.push(`the test runner ended with exit ${first.code} although every test passed`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runVitest(
  directory: string,
  more: readonly string[],
): Promise<{ readonly code: number; readonly record: TestRecord } | undefined> {
  const recordPath = join(directory, "record.json");
  rmSync(recordPath, { force: true });
  const code = await runForeground(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--reporter=default",
      `--reporter=${join(root, "scripts/test-record.ts")}`,
      ...more,
    ],
    {
      cwd: root,
      env: {
        // Hundreds of processes start from the same sources: each after the first finds them compiled.
        NODE_COMPILE_CACHE: join(directory, "compiled"),
        [RECORD_VARIABLE]: recordPath,
        ...(isLong ? { SLUICE_TEST_LONG: "1" } : {}),
      },
    },
  );
  try {
    return { code, record: JSON.parse(readFileSync(recordPath, "utf8")) as TestRecord };
  } catch {
    total.failed += 1;
    failures.push(`tests ended without a record (exit ${code})`);
    return undefined;
  }
}
