import { expect, it } from "vitest";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { isIn, splitPath } from "./jail.ts";
import { createTargetPaths } from "./target-paths.ts";

const PLACE = splitPath(Buffer.from("a/b"));

it("targets are the place and the names below it, whatever was asked for before", () => {
  const targetOf = createTargetPaths(PLACE);
  for (const path of ["one", "d/two", "d/three", "", "d/e/four", "d%25/five", "é/s%FFx", "d/two"]) {
    expect(targetOf(path)).toEqual([...PLACE, ...splitPath(pathBytes(path))]);
  }
});

it("targets in one directory are known by its buffers, and those of another are not", () => {
  const targetOf = createTargetPaths(PLACE);
  const parent = targetOf("d/one").slice(0, -1);
  expect(isIn(targetOf("d/two"), parent)).toBe(true);
  for (const path of ["one", "e/one", "d/e/one", ""]) expect(isIn(targetOf(path), parent)).toBe(false);
});

it.each(["..", "d/..", "../d", "d//x", "/d", "d/", "d/x%00", "d/x%2Fy", `d/${"x".repeat(256)}`])(
  "refuse %j",
  (path) => {
    const targetOf = createTargetPaths(PLACE);
    targetOf("d/one");
    expect(() => targetOf(path)).toThrow(/allowed/);
  },
);
