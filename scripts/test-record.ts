import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** What one run of tests came to, as `run-tests.ts` counts it. */
export interface TestRecord {
  readonly files: readonly TestFileRecord[];
  /** Files in which something was thrown that no test caught; `undefined`: nobody knows where. */
  readonly strays: readonly (string | undefined)[];
}

export interface TestFileRecord {
  /** From the root of the project. */
  readonly path: string;
  readonly tests: readonly { readonly name: string; readonly state: "passed" | "failed" | "skipped" }[];
  /** Failed outside its tests: it could not be loaded, or a hook threw. */
  readonly isBroken: boolean;
}

/** Where `TestRecorder` writes. */
export const RECORD_VARIABLE = "SLUICE_TEST_RECORD";

/** A reporter of Vitest's. Its own JSON report knows nothing of what was thrown outside tests. */
export default class TestRecorder implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], strays: readonly SerializedError[]): void {
    const path = process.env[RECORD_VARIABLE];
    if (path === undefined) return;
    const record: TestRecord = { files: modules.map(recordOf), strays: strays.map(fileOf) };
    writeFileSync(path, JSON.stringify(record));
  }
}

function recordOf(module: TestModule): TestFileRecord {
  return {
    path: relative(process.cwd(), module.moduleId),
    tests: [...module.children.allTests()].map((test) => {
      const { state } = test.result();
      return { name: test.fullName, state: state === "pending" ? "skipped" : state };
    }),
    isBroken: module.errors().length > 0 || [...module.children.allSuites()].some((suite) => suite.errors().length > 0),
  };
}

function fileOf(stray: SerializedError): string | undefined {
  const path: unknown = stray["VITEST_TEST_PATH"];
  return typeof path === "string" ? relative(process.cwd(), path) : undefined;
}
