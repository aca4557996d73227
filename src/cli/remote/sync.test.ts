import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { holdName } from "../../base/name-guard.ts";
import { createProcessTable } from "../../base/process-table.ts";
import type { RunProgram } from "../../base/spawn.ts";
import type { SyncFile } from "../../config/sync-file.ts";
import { createTestContext } from "../command-context.fake.ts";
import { runProgram } from "../program.ts";
import { createSyncBook, identityOf } from "./sync-book.ts";
import { keepInSync } from "./sync-loop.ts";
import { nextRunMs } from "./sync-schedule.ts";
import { parseSyncWish } from "./sync-wish.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "sluice-sync-"));
});
afterEach(async () => rm(home, { recursive: true, force: true }));

const none = { lastRunMs: 1000, firstChangeMs: undefined, lastChangeMs: undefined, failures: 0 };
const pace = { debounceMs: 100, everyMs: 5000 };

test("changes wait for company but not for ever, failures back off, and a look at everything comes anyway", () => {
  expect(nextRunMs({ ...none, lastRunMs: undefined }, pace)).toBe(0);
  expect(nextRunMs(none, pace)).toBe(6000);
  expect(nextRunMs({ ...none, firstChangeMs: 2000, lastChangeMs: 2050 }, pace)).toBe(2150);
  expect(nextRunMs({ ...none, firstChangeMs: 2000, lastChangeMs: 2990 }, pace)).toBe(3000);
  expect(nextRunMs({ ...none, firstChangeMs: 5950, lastChangeMs: 5950 }, pace)).toBe(6000);
  expect([1, 2, 3, 99].map((failures) => nextRunMs({ ...none, failures }, pace))).toEqual([3000, 5000, 9000, 301_000]);
});

test("a pair of directories is read as rsync reads it, and has one name", () => {
  const up = parseSyncWish(["-a", "--delete", "site/", "north-1:/srv/"], { daemon: "up" }, "/home/anna");
  expect(up).toEqual({
    name: expect.stringMatching(/^north-1-[0-9a-f]{8}$/),
    direction: "UP",
    local: "/home/anna/site/",
    remote: "north-1:/srv/",
    options: ["-a", "--delete"],
  });
  const down = parseSyncWish(["north-1:/srv", "/home/anna/site"], { daemon: "DOWN" }, "/");
  expect(down).toMatchObject({ name: up.name, direction: "DOWN", options: ["-a"] });
  const wrong =
    (daemon: string, ...words: string[]) =>
    () =>
      parseSyncWish(words, { daemon }, "/");
  expect(wrong("SIDE", "a", "b:/c")).toThrow("--daemon: given");
  expect(wrong("UP", "b:/c", "a")).toThrow("DIRECTORY BOX:PATH");
  expect(wrong("DOWN", "a", "b:/c")).toThrow("BOX:PATH DIRECTORY");
  expect(wrong("UP", "a", "b::module")).toThrow("allowed");
  expect(wrong("UP", "-e", "ssh", "a", "b:/c")).toThrow("reaches boxes by itself");
});

function fileOf(change: Partial<SyncFile> = {}): SyncFile {
  return {
    version: 1,
    name: "site",
    direction: "UP",
    local: home,
    remote: "north-1:/srv",
    options: ["-a", "--bwlimit=100"],
    debounceSeconds: 0,
    rescanSeconds: 3600,
    pollSeconds: 3600,
    state: "starting",
    reason: "its process starts",
    startedAt: "2026-01-15T10:30:45.000Z",
    runs: 0,
    failures: 0,
    ...change,
  };
}

async function eventually(isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 600 && !isSo(); turn++) await systemClock.delay(20);
  expect(isSo()).toBe(true);
}

test("a change below the directory starts rsync again, and a failure says why", async () => {
  await mkdir(join(home, "deep/er"), { recursive: true });
  const calls: (readonly string[])[] = [];
  const states: SyncFile[] = [];
  let code = 0;
  const run: RunProgram = async (_file, args) => {
    calls.push(args);
    return { code, signal: null, stdout: "", stderr: "sluice: policy: /srv\nrsync error: …", timedOut: false };
  };
  const stop = new AbortController();
  const write = async (file: SyncFile) => void states.push(file);
  const ended = keepInSync(
    fileOf(),
    { clock: systemClock, runProgram: run, write, rsh: "sluice rsh", env: {}, log: () => undefined },
    stop.signal,
  );
  await eventually(() => states.at(-1)?.state === "idle");
  expect(calls).toEqual([["-e", "sluice rsh", "-a", "--bwlimit=100", home, "north-1:/srv"]]);
  code = 12;
  await writeFile(join(home, "deep/er/new"), "x");
  await eventually(() => states.at(-1)?.state === "failing");
  expect(states.at(-1)).toMatchObject({ reason: "rsync ended with 12: sluice: policy: /srv", failures: 1, runs: 2 });
  code = 0;
  await eventually(() => states.at(-1)?.state === "idle");
  expect(states.at(-1)).toMatchObject({ failures: 0, runs: 3 });
  stop.abort();
  await ended;
});

test("what is kept of it is its owner's alone, and a process that only has the number is not taken for it", async () => {
  const context = createTestContext(home);
  const table = createProcessTable();
  const book = createSyncBook(join(home, "book"), { table, writePrivateFile: context.writePrivateFile });
  await book.write(fileOf({ process: identityOf(process.pid, table) }));
  expect((await stat(join(home, "book/site.json"))).mode & 0o777).toBe(0o600);
  expect((await book.list()).map(({ isRunning }) => isRunning)).toEqual([true]);
  const stranger = { ...identityOf(process.pid, table), startTicks: 1 };
  await book.write(fileOf({ process: stranger }));
  expect((await book.read("site"))?.isRunning).toBe(false);
});

test("one process has a name, until it gives it back", async () => {
  const name = `sluice-test-${process.pid}`;
  const first = await holdName(name);
  expect(await holdName(name)).toBeUndefined();
  await first?.release();
  const again = await holdName(name);
  expect(again).toBeDefined();
  await again?.release();
});

test("--status and --stop know what is dead, and forget it", async () => {
  const run = async (...args: string[]) => {
    const context = createTestContext(home, { env: { XDG_STATE_HOME: home } });
    return { exit: await runProgram(["rsync", ...args], context), out: context.out(), err: context.err() };
  };
  expect(await run("--status")).toMatchObject({ exit: 0, out: "no directory is kept in sync\n" });
  const book = createSyncBook(join(home, "sluice/rsync"), {
    table: createProcessTable(),
    writePrivateFile: createTestContext(home).writePrivateFile,
  });
  await book.write(fileOf());
  expect((await run("--status")).out).toMatch(/site\s+dead/);
  expect(JSON.parse((await run("--status", "--json")).out)).toMatchObject({
    items: [{ name: "site", running: false }],
  });
  expect((await run("--stop", "site")).out).toBe("site did not run any more, and is forgotten\n");
  expect(await run("--stop", "site")).toMatchObject({
    exit: 254,
    err: expect.stringContaining("nothing is kept in sync"),
  });
});
