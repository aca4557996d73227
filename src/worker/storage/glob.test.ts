import { describe, expect, it } from "vitest";
import { createGlob } from "./glob.ts";

const matches = (pattern: string, path: string) => createGlob(pattern).matches(path.split("/"));

describe("patterns", () => {
  it.each([
    ["*.mp4", "a.mp4"],
    ["*.mp4", "deep/er/a.mp4"],
    ["/a.mp4", "a.mp4"],
    ["day/*.mp4", "day/a.mp4"],
    ["day/**/x", "day/x"],
    ["day/**/x", "day/a/b/x"],
    ["**/x", "x"],
    ["day/", "deep/day"],
    ["a?c", "aéc"],
    ["a?c", "a%FFc"],
    ["100%", "100%25"],
    ["[a-c]x", "bx"],
    ["[!a-c]x", "dx"],
    ["[", "["],
    ["*a*b*c*", "xxaxxbxxcxx"],
  ])("%s takes %s", (pattern, path) => expect(matches(pattern, path)).toBe(true));
  it.each([
    ["*.mp4", "a.mp4x"],
    ["/a.mp4", "b/a.mp4"],
    ["day/*.mp4", "day/b/a.mp4"],
    ["day/*", "other/day/a"],
    ["a*", "b/c"],
    ["[a-c]x", "dx"],
    ["a?c", "ac"],
    ["a?c", "a/c"],
  ])("%s does not take %s", (pattern, path) => expect(matches(pattern, path)).toBe(false));
  it("take no longer for one that is made to take long", () => {
    expect(matches(`${"*a".repeat(200)}b`, "a".repeat(255))).toBe(false);
    expect(matches(`${"**/a/".repeat(100)}b`, Array.from({ length: 200 }, () => "a").join("/"))).toBe(false);
  });
});
