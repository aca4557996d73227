import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  hashOfDirectory,
  isOnTmpfs,
  makePrivateDirectory,
  openRunDirectory,
  runDirectoryCandidates,
} from "./run-directory.ts";

const userId = process.getuid?.() ?? 0;
let root: string;
let hash: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sluice-run-"));
  mkdirSync(join(root, "state"));
  hash = hashOfDirectory(join(root, "state"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** With systemd's directory given, nothing is made outside the test's own. */
const openIn = (runtimeDirectory: string) =>
  openRunDirectory({ stateDir: join(root, "state"), runtimeDirectory, userId }).path;

describe("the places for volatile files", () => {
  const options = { stateDir: "/state", runtimeDirectory: "/run/a:/run/b", xdgRuntimeDirectory: "/run/user/7" };

  test("are systemd's first, then root's or the user's, and at last the state directory", () => {
    expect(runDirectoryCandidates({ ...options, userId: 7 }, "h")).toEqual([
      "/run/a/h",
      "/run/user/7/sluice-h",
      "/state/run",
    ]);
    expect(runDirectoryCandidates({ ...options, userId: 0 }, "h")[1]).toBe("/run/sluice-h");
    const relative = { stateDir: "/state", runtimeDirectory: "a", xdgRuntimeDirectory: "b", userId: 7 };
    expect(runDirectoryCandidates(relative, "h")).toEqual(["/state/run"]);
  });

  test("are apart for two state directories, and the same for two names of one", () => {
    symlinkSync(join(root, "state"), join(root, "link"));
    expect(hashOfDirectory(join(root, "link"))).toBe(hash);
    expect(hashOfDirectory(`${root}/./state/`)).toBe(hash);
    expect(hashOfDirectory(root)).not.toBe(hash);
  });
});

describe("the chosen place", () => {
  test("is private", () => {
    const path = openIn(join(root, "runtime"));
    expect(path).toBe(join(root, "runtime", hash));
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(openIn(join(root, "runtime"))).toBe(path);
  });

  test("is never one that somebody else could have laid out", () => {
    mkdirSync(join(root, "elsewhere"));
    symlinkSync(join(root, "elsewhere"), join(root, "link"));
    mkdirSync(join(root, "open"));
    chmodSync(join(root, "open"), 0o777);
    mkdirSync(join(root, "mine"));
    expect(() => makePrivateDirectory(join(root, "link"), userId)).toThrow("is not a directory");
    expect(() => makePrivateDirectory(join(root, "open"), userId)).toThrow("can be written by others");
    expect(() => makePrivateDirectory(join(root, "mine"), userId + 1)).toThrow("belongs to user");
    makePrivateDirectory(join(root, "mine"), userId);
  });

  test("knows whether it is in memory", ({ skip }) => {
    skip(!existsSync("/dev/shm") || !isOnTmpfs("/dev/shm"), "there is no tmpfs at /dev/shm");
    const shared = mkdtempSync("/dev/shm/sluice-run-");
    try {
      const options = { stateDir: join(root, "state"), runtimeDirectory: shared, userId };
      expect(openRunDirectory(options)).toEqual({ path: join(shared, hash), isVolatile: true });
      expect(isOnTmpfs("/proc")).toBe(false);
      expect(isOnTmpfs(join(root, "absent"))).toBe(false);
    } finally {
      rmSync(shared, { recursive: true, force: true });
    }
  });
});
