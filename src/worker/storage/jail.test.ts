import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestTree } from "../digest-tree.fake.ts";
import {
  createDescent,
  createFileAt,
  lookAt,
  openFileAt,
  openRootDirectory,
  renameAt,
  requireName,
  setMode,
  splitPath,
  symlinkAt,
  unlinkAt,
  within,
} from "./jail.ts";
import { removeTree } from "./staging.ts";

let directory = "";
let root = 0;
beforeEach(() => {
  directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "sluice-jail-"));
  for (const name of ["root/a/b", "root/plain", "outside/b"]) mkdirSync(join(directory, name), { recursive: true });
  writeFileSync(join(directory, "outside/secret"), "secret");
  writeFileSync(join(directory, "outside/b/secret"), "secret");
  root = openRootDirectory(join(directory, "root"));
});
afterEach(() => {
  closeSync(root);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

const path = (text: string) => splitPath(Buffer.from(text, "latin1"));

describe("paths", () => {
  it.each(["..", "a/../b", "a/./b", ".", "/a", "a//b", "a/", "a\0b", "x".repeat(256), "a/".repeat(2100)])(
    "refuse %j",
    (text) => {
      expect(() => path(text)).toThrow(/allowed/);
    },
  );
  it.each(["...", "..a", "a\nb", "\xff\xfe", "x".repeat(255), ".sluice-storage2"])("take %j", (text) => {
    expect(path(text)).toEqual([Buffer.from(text, "latin1")]);
  });
  it("have no slash and no zero in a name, whoever made it", () => {
    for (const name of ["", "a/b", "a\0", "..", "."]) expect(() => requireName(Buffer.from(name))).toThrow(/allowed/);
  });
});

describe("links", () => {
  it("in the way end it, wherever they lead, and whatever is to be done", () => {
    symlinkSync(join(directory, "outside"), join(directory, "root/out"));
    symlinkSync("a", join(directory, "root/in"));
    symlinkSync(join(directory, "outside/secret"), join(directory, "root/a/leaf"));
    const descent = createDescent(root);
    for (const way of ["out/secret", "in/b/x", "out/b/x"]) {
      expect(() => descent.place(path(way))).toThrow(/ENOTDIR|ELOOP/);
      expect(() => descent.target(path(way))).toThrow(/ENOTDIR|ELOOP/);
    }
    expect(() => openFileAt(descent.place(path("a/leaf")))).toThrow(/ELOOP/);
    expect(lookAt(descent.place(path("a/leaf")))?.isSymbolicLink()).toBe(true);
    expect(() => createFileAt(descent.place(path("a/leaf")))).toThrow(/EEXIST/);
    removeTree(root, Buffer.from("out"));
    descent.close();
    expect(readdirSync(join(directory, "outside"))).toEqual(["b", "secret"]);
  });

  /** Number of the system call; the link and the directory are exchanged in one step. */
  const RENAMEAT2 = process.arch === "arm64" ? 276 : 316;
  const rounds = process.env["SLUICE_TEST_LONG"] === "1" ? 100_000 : 1500;
  it(`that are exchanged with their directories all the time lead nothing outside, in ${rounds} writes`, {
    timeout: 600_000,
  }, async () => {
    const before = digestTree(join(directory, "outside"));
    // At any moment the name is either the directory or the link: nothing is ever missing.
    symlinkSync(join(directory, "outside"), join(directory, "root/link"));
    const flipper = `$| = 1; print "flipping"; syscall(${RENAMEAT2}, -100, $ARGV[0], -100, $ARGV[1], 2) while 1;`;
    const names = ["root/a", "root/link"].map((name) => join(directory, name));
    const child = spawn("perl", ["-e", flipper, "--", ...names], { stdio: ["ignore", "pipe", "inherit"] });
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    let written = 0;
    let refused = 0;
    let readOutside = 0;
    try {
      await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
      for (let round = 0; round < rounds; round++) {
        const descent = createDescent(root);
        try {
          // Only behind the link there is a file of this name.
          closeSync(openFileAt(descent.place(path("a/b/secret"))));
          readOutside += 1;
        } catch {
          // As it should.
        }
        try {
          const name = `f${round % 50}`;
          const place = descent.target(path(round % 2 === 0 ? `a/b/${name}` : `a/new${round % 7}/${name}`));
          if (lookAt(place) === undefined) closeSync(createFileAt(place));
          const fd = openFileAt(place);
          setMode(fd, 0o777);
          closeSync(fd);
          renameAt(place, { ...place, name: Buffer.from(`${name}-moved`) });
          symlinkAt(Buffer.from("/etc/passwd"), place);
          unlinkAt(place);
          if (round % 5 === 0) removeTree(descent.directory(path("a")), Buffer.from(`new${round % 7}`));
          written += 1;
        } catch {
          refused += 1;
        } finally {
          descent.close();
        }
        if (round % 100 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      }
    } finally {
      child.kill("SIGKILL");
      await gone;
    }
    expect(digestTree(join(directory, "outside"))).toEqual(before);
    // Else nothing was tried.
    expect(written).toBeGreaterThan(rounds / 100);
    expect(refused).toBeGreaterThan(rounds / 100);
    expect(written + refused).toBe(rounds);
    expect(readOutside).toBe(0);
    if (rounds > 10_000) process.stderr.write(`${written} written, ${refused} refused\n`);
  });
});

describe("names within a directory that is held", () => {
  const file = { directory: 0, name: Buffer.from("made") };

  it("mean what lies in it, whatever has its name by now, and elsewhere the way is told as ever", () => {
    const descent = createDescent(root);
    const held = descent.directory([Buffer.from("a")]);
    const before = process.cwd();
    renameSync(join(directory, "root/a"), join(directory, "root/moved"));
    symlinkSync(join(directory, "outside"), join(directory, "root/a"));
    within(held, () => {
      closeSync(createFileAt({ ...file, directory: held }));
      closeSync(createFileAt({ ...file, directory: root }));
      // No deeper: the outer one stays.
      within(root, () => expect(lookAt({ directory: held, name: Buffer.from("b") })?.isDirectory()).toBe(true));
      renameAt({ ...file, directory: held }, { directory: root, name: Buffer.from("renamed") });
    });
    expect(process.cwd()).toBe(before);
    expect(readdirSync(join(directory, "root")).sort()).toEqual(["a", "made", "moved", "plain", "renamed"]);
    expect(readdirSync(join(directory, "outside")).sort()).toEqual(["b", "secret"]);
    descent.close();
  });

  it("lead nowhere else by their words or by links, and what fails leaves the working directory as it was", () => {
    const before = process.cwd();
    symlinkSync(join(directory, "outside/secret"), join(directory, "root/link"));
    for (const name of ["..", "a/b", ".", ""]) {
      expect(() => within(root, () => openFileAt({ directory: root, name: Buffer.from(name) }))).toThrow(/path: given/);
    }
    expect(() => within(root, () => openFileAt({ directory: root, name: Buffer.from("link") }))).toThrow(/ELOOP/);
    expect(process.cwd()).toBe(before);
  });
});
