import { expect, test } from "vitest";
import { filesToRunAgain, judgeTests } from "./judge-tests.ts";
import type { TestFileRecord, TestRecord } from "./test-record.ts";

type State = TestFileRecord["tests"][number]["state"];

const file = (path: string, states: Readonly<Record<string, State>>, isBroken = false): TestFileRecord => ({
  path,
  tests: Object.entries(states).map(([name, state]) => ({ name, state })),
  isBroken,
});
const run = (files: readonly TestFileRecord[], strays: TestRecord["strays"] = []): TestRecord => ({ files, strays });

const GOOD = file("a.test.ts", { one: "passed", two: "skipped" });

test("what passes at once is counted, and nothing is run again", () => {
  const first = run([GOOD]);
  expect(filesToRunAgain(first)).toEqual([]);
  expect(judgeTests(first, new Map())).toEqual({ passed: 1, failed: 0, skipped: ["two"], failures: [], unsteady: [] });
});

test("a test that failed beside others and passes alone is unsteady, and told", () => {
  const first = run([GOOD, file("b.test.ts", { three: "failed", four: "passed" })]);
  expect(filesToRunAgain(first)).toEqual(["b.test.ts"]);
  const again = new Map([["b.test.ts", run([file("b.test.ts", { three: "passed", four: "passed" })])]]);
  expect(judgeTests(first, again)).toEqual({
    passed: 3,
    failed: 0,
    skipped: ["two"],
    failures: [],
    unsteady: ["three"],
  });
});

test("what fails twice has failed, and so has what fails only when it is alone", () => {
  const first = run([file("b.test.ts", { three: "failed", four: "passed" })]);
  const again = new Map([["b.test.ts", run([file("b.test.ts", { three: "failed", four: "failed" })])]]);
  expect(judgeTests(first, again)).toMatchObject({ passed: 0, failed: 2, failures: ["three", "four"], unsteady: [] });
});

test("a file that could not be loaded, or a hook that threw, is run again too", () => {
  const first = run([file("b.test.ts", {}, true)]);
  expect(filesToRunAgain(first)).toEqual(["b.test.ts"]);
  expect(judgeTests(first, new Map())).toMatchObject({
    failed: 1,
    failures: ["b.test.ts failed outside its tests"],
  });
  const again = new Map([["b.test.ts", run([file("b.test.ts", { three: "passed" })])]]);
  expect(judgeTests(first, again)).toMatchObject({ passed: 1, failed: 0, unsteady: ["b.test.ts outside its tests"] });
  expect(judgeTests(first, new Map([["b.test.ts", run([])]]))).toMatchObject({ failed: 2 });
});

test("what nobody caught is a failure, unless its file is known and does it no more", () => {
  const lost = run([GOOD], [undefined]);
  expect(filesToRunAgain(lost)).toEqual([]);
  expect(judgeTests(lost, new Map())).toMatchObject({ passed: 1, failed: 1 });
  const known = run([GOOD], ["a.test.ts"]);
  expect(filesToRunAgain(known)).toEqual(["a.test.ts"]);
  expect(judgeTests(known, new Map([["a.test.ts", run([GOOD])]]))).toMatchObject({ failed: 0 });
  expect(judgeTests(known, new Map([["a.test.ts", run([GOOD], ["a.test.ts"])]]))).toMatchObject({ failed: 1 });
});

test("when many files fail the machine is not to blame", () => {
  const first = run(Array.from({ length: 7 }, (_, index) => file(`${index}.test.ts`, { one: "failed" })));
  expect(filesToRunAgain(first)).toEqual([]);
  expect(judgeTests(first, new Map()).failed).toBe(7);
});
