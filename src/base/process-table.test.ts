import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFakeClock } from "./clock.fake.ts";
import { systemClock } from "./clock.ts";
import { createMemoryLog } from "./log.ts";
import { isLive, parseProcStat } from "./proc-stat.ts";
import { createPidLister } from "./process-sweep.ts";
import { createProcessTable } from "./process-table.ts";
import { createSpawner } from "./spawn.ts";

const REST = "1 4242 4242 0 -1 4194560 100 0 0 0 7 3 0 0 20 0 1 0 987654 23000000 512 184467440737095 1 1 0";

describe("parseProcStat", () => {
  test("reads the fields that decide something", () => {
    expect(parseProcStat(`4242 (ffmpeg) S ${REST}\n`)).toEqual({
      pid: 4242,
      comm: "ffmpeg",
      state: "S",
      parentPid: 1,
      processGroup: 4242,
      session: 4242,
      cpuTicks: 10,
      startTicks: 987654,
      rssPages: 512,
    });
  });

  test("a command name of any bytes moves no field", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), (comm) => {
        expect(parseProcStat(`7 (${comm}) R ${REST}`)).toMatchObject({ pid: 7, comm, state: "R", startTicks: 987654 });
      }),
    );
    expect(parseProcStat(`7 (a) S 1 (b) Z ${REST}`)).toMatchObject({ comm: "a) S 1 (b", state: "Z" });
  });

  test("whatever is not whole is nothing", () => {
    const whole = `4242 (ffmpeg) S ${REST.split(" ").slice(0, 21).join(" ")}`;
    expect(parseProcStat(whole)).toBeDefined();
    const lastField = whole.lastIndexOf(" ");
    for (let length = 0; length <= lastField; length++) expect(parseProcStat(whole.slice(0, length))).toBeUndefined();
  });

  test("a zombie is not live", () => {
    expect(isLive(parseProcStat(`7 (a) Z ${REST}`))).toBe(false);
    expect(isLive(parseProcStat(`7 (a) T ${REST}`))).toBe(true);
    expect(isLive(undefined)).toBe(false);
  });
});

describe("the real table", () => {
  const table = createProcessTable();

  test("shows this boot and this process", () => {
    expect(table.bootId()).toMatch(/^[0-9a-f-]{36}$/);
    expect(table.bootTimeMs()).toBeLessThan(systemClock.wallMs());
    expect(table.uptimeSeconds()).toBeGreaterThan(0);
    expect(table.pidNamespace()).toMatch(/^pid:\[\d+\]$/);
    expect(table.pageBytes() % 4096).toBe(0);
    expect(table.pids()).toContain(process.pid);
    expect(table.stat(process.pid)).toMatchObject({ pid: process.pid, parentPid: process.ppid });
    expect(table.environment(process.pid, "PATH=")?.get("PATH")).toBeDefined();
    expect(table.environment(process.pid, "NO_SUCH_VARIABLE_ANYWHERE=")).toBeUndefined();
    for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 31]) expect(table.open(pid)).toBeUndefined();
  });

  test("a kept process answers as long as it lives, and never again", async () => {
    const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });
    const child = await spawner.spawnDetached({ file: "sleep", args: ["300"], env: {}, stdoutFd: 2, stderrFd: 2 });
    const kept = table.open(child.pid);
    expect(isLive(kept?.stat())).toBe(true);
    expect([kept?.isLive(), kept?.mayLive()]).toEqual([true, true]);
    process.kill(child.pid, "SIGKILL");
    await child.exited;
    expect(kept?.stat()).toBeUndefined();
    expect([kept?.isLive(), kept?.mayLive()]).toEqual([false, false]);
    kept?.close();
    kept?.close();
    expect([kept?.isLive(), kept?.mayLive()]).toEqual([false, false]);
    expect(table.environment(child.pid, "PATH=")).toBeUndefined();
  });
});

describe("a forged table", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "sluice-proc-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  test("gives what is written there, and nothing for what is absent or malformed", () => {
    const table = createProcessTable(root);
    expect([table.bootId(), table.bootTimeMs(), table.uptimeSeconds(), table.pidNamespace()]).toEqual(
      Array(4).fill(undefined),
    );
    expect(table.pageBytes()).toBe(4096);
    mkdirSync(join(root, "sys/kernel/random"), { recursive: true });
    mkdirSync(join(root, "self/ns"), { recursive: true });
    mkdirSync(join(root, "77"));
    writeFileSync(join(root, "sys/kernel/random/boot_id"), "6d4a1c9e-0000-4000-8000-000000000001\n");
    writeFileSync(join(root, "stat"), "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n");
    writeFileSync(join(root, "uptime"), "120.25 200.00\n");
    symlinkSync("pid:[4026531836]", join(root, "self/ns/pid"));
    writeFileSync(join(root, "77/stat"), `77 (x) S ${REST}`);
    writeFileSync(join(root, "77/environ"), "A=1\0B=x=y\0A=2\0=z\0nothing\0");
    expect(table.bootId()).toBe("6d4a1c9e-0000-4000-8000-000000000001");
    expect(table.bootTimeMs()).toBe(1_700_000_000_000);
    expect(table.uptimeSeconds()).toBe(120.25);
    expect(table.pidNamespace()).toBe("pid:[4026531836]");
    expect(table.pids()).toEqual([77]);
    expect([...(table.environment(77, "B=") ?? [])]).toEqual([
      ["A", "1"],
      ["B", "x=y"],
    ]);
    const live = (line: string) => {
      writeFileSync(join(root, "77/stat"), line);
      const kept = table.open(77);
      const states = [kept?.isLive(), isLive(kept?.stat())];
      kept?.close();
      return states;
    };
    for (const comm of ["x", ") Z (", "a b) S", "fifteen bytes.."]) {
      expect(live(`77 (${comm}) S ${REST}`)).toEqual([true, true]);
      for (const state of ["Z", "X", "x"]) expect(live(`77 (${comm}) ${state} ${REST}`)).toEqual([false, false]);
    }
    // What an earlier reading left in the shared buffer, up to its very end, must answer for nobody.
    writeFileSync(join(root, "77/environ"), ") S ".repeat(16_384));
    for (const line of ["", "77", "77 (x", "77 (x)", "77 (x) "]) {
      table.environment(77, "B=");
      expect(live(line)).toEqual([false, false]);
    }
    writeFileSync(join(root, "sys/kernel/random/boot_id"), "garbage\n");
    expect(table.bootId()).toBeUndefined();
  });
});

describe("the list of processes", () => {
  const table = { pids: () => [1, 2, 3] };

  test("comes from ps, and holds this process", async () => {
    const log = createMemoryLog();
    expect(await createPidLister({ table, clock: systemClock, log })()).toContain(process.pid);
    expect(log.lines).toEqual([]);
  });

  test("comes from /proc where there is no ps, which is said once", async () => {
    const log = createMemoryLog();
    const listProcesses = async () => {
      throw Object.assign(new Error("spawn ps ENOENT"), { code: "ENOENT" });
    };
    const list = createPidLister({ table, clock: systemClock, log, listProcesses });
    expect([await list(), await list()]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    expect(log.lines).toEqual(["[INFO] ps could not list the processes (there is no ps here); reading /proc instead"]);
  });

  test("does not wait for a ps that hangs", async () => {
    const clock = createFakeClock();
    const log = createMemoryLog();
    const listing = createPidLister({ table, clock, log, listProcesses: () => new Promise(() => undefined) })();
    await clock.advance(3000);
    expect(await listing).toEqual([1, 2, 3]);
    expect(log.lines).toHaveLength(1);
    expect(clock.pending()).toBe(0);
  });
});
