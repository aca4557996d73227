/** Runs the checks, the tour and the tests one after the other and counts them; `scripts/test` is its front door. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runForeground } from "./run-foreground.ts";
import { runHeld } from "./run-held.ts";

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

interface VitestReport {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

const root = resolve(import.meta.dirname, "..");
const bin = (name: string) => join(root, "node_modules/.bin", name);
const args = process.argv.slice(2);
const isLong = args.includes("--long");
const patterns = args.filter((argument) => !argument.startsWith("--"));
const total: Count = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

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
await runVitest();

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

async function runVitest(): Promise<void> {
  console.log("\n== tests");
  const directory = mkdtempSync(join(tmpdir(), "sluice-tests-"));
  const outputFile = join(directory, "report.json");
  const code = await runForeground(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile=${outputFile}`,
      ...patterns,
    ],
    {
      cwd: root,
      env: {
        // Hundreds of processes start from the same sources: each after the first finds them compiled.
        NODE_COMPILE_CACHE: join(directory, "compiled"),
        ...(isLong ? { SLUICE_TEST_LONG: "1" } : {}),
      },
    },
  );
  try {
    count(JSON.parse(readFileSync(outputFile, "utf8")) as VitestReport, code);
  } catch {
    total.failed += 1;
    failures.push(`tests ended without a report (exit ${code})`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function count(report: VitestReport, code: number): void {
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests;
  total.skipped += report.numPendingTests + report.numTodoTests;
  for (const file of report.testResults) {
    const counted = file.assertionResults.filter(({ status }) => status === "failed");
    for (const { fullName } of counted) failures.push(fullName);
    if (file.status === "failed" && counted.length === 0) {
      total.failed += 1;
      failures.push(`${file.name} could not be run`);
    }
    for (const { fullName, status } of file.assertionResults) {
      if (status === "pending" || status === "skipped") console.log(`skipped: ${fullName}`);
    }
  }
  if (code !== 0 && total.failed === 0) {
    total.failed += 1;
    failures.push(`the test runner ended with exit ${code} although every test passed`);
  }
}
