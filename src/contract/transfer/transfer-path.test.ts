import { describe, expect, it } from "vitest";
import { absolutePathSchema, joinPath, pathBelow, readPath, relativePathSchema } from "./transfer-path.ts";

describe("paths of transfers", () => {
  it.each([
    ["/data/source", "/data/source"],
    ["//data///source/", "/data/source"],
    ["/data/./source", "/data/source"],
    ["/", "/"],
    ["/%41%25", "/A%25"],
  ])("takes the absolute path %s as %s", (given, taken) => {
    expect(absolutePathSchema.parse(given)).toBe(taken);
  });

  it.each(["data", "", "/a/../b", "/a%00b", "/a/%2E%2E/b", "/%2", `/${"x".repeat(256)}`])(
    "refuses the absolute path %s",
    (given) => {
      expect(absolutePathSchema.safeParse(given).success).toBe(false);
    },
  );

  it.each(["/a", "a/", "a//b", "..", "a/..", "a/./b", "a%2F", "a%00", "a/%2e%2e", "x".repeat(256)])(
    "refuses the relative path %s",
    (given) => {
      expect(relativePathSchema.safeParse(given).success).toBe(false);
    },
  );

  it("takes the place itself, and 255 bytes of a name that are more characters", () => {
    expect(readPath("")).toEqual({ text: "" });
    expect(readPath("%FF".repeat(255))).toEqual({ text: "%FF".repeat(255) });
    expect(readPath("%FF".repeat(256))).toEqual({ problem: "a path of names of at most 255 bytes" });
  });

  it.each([
    ["/data/source", "/data/source/a/b", "a/b"],
    ["/data/source", "/data/source", ""],
    ["/data/source", "/data/source2/a", undefined],
    ["/data/source", "/data", undefined],
    ["/", "/data", "data"],
    ["/", "/", ""],
  ])("below %s, %s is %s", (root, path, below) => {
    expect(pathBelow(root, path)).toBe(below);
  });

  it("joins", () => {
    expect(joinPath("/", "a")).toBe("/a");
    expect(joinPath("/a", "b")).toBe("/a/b");
    expect(joinPath("a", "")).toBe("a");
    expect(joinPath("", "b")).toBe("b");
  });
});
