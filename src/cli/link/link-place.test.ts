import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isLinkName, linkDirectoryCandidates, linkSocketPath, openLinkDirectory } from "./link-place.ts";

const userId = process.getuid?.() ?? 0;
let base = "";
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "sluice-place-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const open = (env: Record<string, string> = { XDG_RUNTIME_DIR: base }, mayMake = true) =>
  openLinkDirectory({ env, homeDirectory: join(base, "home"), userId }, mayMake);

test("the directory is made for its user alone, and found again", () => {
  const path = join(base, "sluice");
  expect(open()).toEqual({ path });
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(open(undefined, false)).toEqual({ path });
});

test("who only looks makes nothing", () => {
  expect(open(undefined, false)).toMatchObject({ path: undefined });
  expect(() => statSync(join(base, "sluice"))).toThrow(/ENOENT/);
});

test("the runtime directory comes before that for caches; what is no absolute path is none", () => {
  const places = (env: Record<string, string>) => linkDirectoryCandidates({ env, homeDirectory: "/home/a", userId });
  expect(places({ XDG_RUNTIME_DIR: "/run/user/7" })).toEqual(["/run/user/7/sluice", "/home/a/.cache/sluice"]);
  expect(places({ XDG_RUNTIME_DIR: "here", XDG_CACHE_HOME: "/c" })).toEqual(["/c/sluice"]);
});

test.each([
  ["a directory that others can enter", () => mkdirSync(join(base, "sluice"), { mode: 0o755 }), /open to others/],
  ["a link to a directory", () => symlinkSync(mkdtempSync(join(base, "own-")), join(base, "sluice")), /no directory/],
  ["a link to nowhere", () => symlinkSync(join(base, "gone"), join(base, "sluice")), /no directory/],
  ["one in a directory that others can change", () => chmodSync(base, 0o777), /can be changed by others/],
])("%s is refused", (_what, lay, reason) => {
  lay();
  const found = open();
  expect(found.path).toBeUndefined();
  expect("reason" in found && found.reason).toMatch(reason);
});

test("another user's directory is refused", () => {
  const found = openLinkDirectory(
    { env: { XDG_RUNTIME_DIR: base }, homeDirectory: join(base, "home"), userId: userId + 1 },
    true,
  );
  expect(found.path).toBeUndefined();
});

test("a path that no socket can have is refused", () => {
  const long = join(base, "x".repeat(90));
  mkdirSync(long);
  expect(open({ XDG_RUNTIME_DIR: long })).toMatchObject({ reason: expect.stringContaining("too long") });
});

test("another hub, token, authority or program is another socket, whose name tells nothing of it", () => {
  const paths = [
    ["sluice", "https://a", "t", undefined],
    ["sluice", "https://b", "t", undefined],
    ["sluice", "https://a", "u", undefined],
    ["sluice", "https://a", "t", "PEM"],
    ["other", "https://a", "t", undefined],
  ].map((identity) => linkSocketPath("/d", identity));
  expect(new Set(paths).size).toBe(paths.length);
  expect(paths.map((path) => isLinkName(path.slice(3)))).toEqual(paths.map(() => true));
});
