import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openStatusDescriptor } from "./status-descriptor.ts";

function tempDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "sluice-status-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function opened(file: string, flags: number): number {
  const fd = openSync(file, flags, 0o600);
  onTestFinished(() => closeSync(fd));
  return fd;
}

test("a file that is open for writing gets what is written", () => {
  const file = path.join(tempDirectory(), "status");
  const fd = opened(file, constants.O_CREAT | constants.O_WRONLY);
  openStatusDescriptor(fd)("told\n");
  expect(readFileSync(file, "utf8")).toBe("told\n");
});

test("a named pipe that somebody reads elsewhere, and both ends of one that this process opened, are taken", () => {
  const pipe = path.join(tempDirectory(), "pipe");
  expect(spawnSync("mkfifo", [pipe]).status).toBe(0);
  const both = opened(pipe, constants.O_RDWR);
  expect(openStatusDescriptor(both)).toBeTypeOf("function");
});

test.each([
  ["one that is not open", () => 1000],
  ["one for reading only", () => opened("/dev/null", constants.O_RDONLY)],
  ["a directory", () => opened(tempDirectory(), constants.O_RDONLY)],
])("%s is refused with what is allowed", (_what, open) => {
  const fd = open();
  expect(() => openStatusDescriptor(fd)).toThrow(
    `--status-fd: given ${fd}, which is not open for writing; allowed: a descriptor that the caller has opened, as in ${fd}>FILE`,
  );
});

test("a pipe by which a process wakes itself is not written to", () => {
  const pipe = path.join(tempDirectory(), "pipe");
  expect(spawnSync("mkfifo", [pipe]).status).toBe(0);
  const reading = opened(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = opened(pipe, constants.O_WRONLY);
  expect(reading).not.toBe(writing);
  expect(() => openStatusDescriptor(writing)).toThrow("is not open for writing");
});
