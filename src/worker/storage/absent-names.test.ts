import { closeSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { createAbsentNames } from "./absent-names.ts";
import { createDescent, openRootDirectory, splitPath } from "./jail.ts";

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const begin = () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-absent-"));
  open.push(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const root = openRootDirectory(directory);
  const descent = createDescent(root);
  open.push(() => {
    descent.close();
    closeSync(root);
  });
  const absent = createAbsentNames(descent);
  /** Often enough that the directory is listed. */
  const ask = (path: string) => {
    for (let times = 0; times < 20; times++) absent.has(splitPath(Buffer.from(path)));
    return absent.has(splitPath(Buffer.from(path)));
  };
  return { directory, descent, ask };
};

it("is certain of what is not there, and never of what is", () => {
  const { directory, ask } = begin();
  mkdirSync(join(directory, "d"));
  writeFileSync(join(directory, "d/file"), "");
  writeFileSync(Buffer.concat([Buffer.from(join(directory, "d/")), Buffer.from([0xff, 0xfe])]), "");
  symlinkSync("nowhere", join(directory, "d/link"));
  expect(["d/file", "d/link", "d/none", "missing/any"].map(ask)).toEqual([false, false, true, true]);
});

it("is certain of nothing behind a link, nor in a directory of very many names", () => {
  const { directory, ask } = begin();
  mkdirSync(join(directory, "many"));
  for (let index = 0; index <= 2000; index++) writeFileSync(join(directory, `many/${index}`), "");
  symlinkSync("many", join(directory, "link"));
  expect(["link/none", "many/none"].map(ask)).toEqual([false, false]);
});

it("knows at once that a directory that was made here has nothing", () => {
  const { directory, descent, ask } = begin();
  mkdirSync(join(directory, "before"));
  descent.make(splitPath(Buffer.from("before/new")));
  const paths = ["before", "before/new"].map((path) => splitPath(Buffer.from(path)));
  expect(paths.map(descent.isMade)).toEqual([false, true]);
  const absent = createAbsentNames(descent);
  expect(["before/a", "before/new/a"].map((path) => absent.has(splitPath(Buffer.from(path))))).toEqual([false, true]);
  expect(ask("before/new/a")).toBe(true);
});
