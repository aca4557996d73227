import { hash } from "node:crypto";
import { expect, it } from "vitest";
import type { CopyItem } from "../contract/transfer/assignment.ts";
import { unpackHashes } from "../contract/transfer/packed-hashes.ts";
import { packItemHashes } from "./pack-hashes.ts";

const item = (path: string, length: number, offset = 0): CopyItem => ({
  entry: { path, type: "file", size: length, mtime_ns: "0", mode: 0o644, uid: 0, gid: 0, generation: "1:2:3:4:5" },
  offset,
  length,
});
const done = (path: string, length: number, offset = 0) => ({ path, offset, length, sha256: hash("sha256", path) });
const ITEMS = [item("one", 1), item("two", 2), item("three", 3)];

it("what is done stands where it was given out, in whatever order it was done", () => {
  const packed = packItemHashes(ITEMS, [done("three", 3), done("one", 1)]);
  expect(unpackHashes(packed ?? "")).toEqual([hash("sha256", "one"), "", hash("sha256", "three")]);
});

it.each([
  ["something that was not given out", ITEMS, [done("four", 4)]],
  ["another range", ITEMS, [done("two", 1)]],
  ["one of two ranges of a file", [item("one", 1), item("one", 1, 1)], [done("one", 1)]],
])("nothing is packed for %s", (_what, items, told) => {
  expect(packItemHashes(items, told)).toBeUndefined();
});
