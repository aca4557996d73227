import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createFakeClock } from "../../../base/clock.fake.ts";
import { systemClock } from "../../../base/clock.ts";
import type { ProcessIdentity } from "../../../base/process-identity.ts";
import { createSpawner } from "../../../base/spawn.ts";
import type { ProcessMark, StopLadder } from "../run-handle.ts";
import { fakeFfmpeg, isRunning, openRuntimeWorld, readTextIfAny, until } from "./runtime-world.fake.ts";

const LADDER: StopLadder = [
  { signal: "SIGTERM", graceMs: 300, toGroup: false },
  { signal: "SIGTERM", graceMs: 300, toGroup: false },
  { signal: "SIGKILL", graceMs: 3000, toGroup: true },
];
const KILL: StopLadder = [{ signal: "SIGKILL", graceMs: 3000, toGroup: true }];
const SLEEP = { file: "sleep", args: ["300"], env: {} };
const spawner = createSpawner({ ambient: process.env }, { clock: systemClock });

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("start", () => {
  test("proves at once whose process it is, and keeps its output private", async () => {
    await using world = openRuntimeWorld();
    const mark = world.mark("cam-1");
    const files = world.files("cam-1");
    const launch = {
      file: "sh",
      args: ["-c", "echo out; echo err >&2; exec sleep 300"],
      env: { SLUICE_WORKLOAD: "forged" },
    };
    const handle = await world.runtime.start(mark, launch, files);
    const { pid, startTicks, bootId } = handle.identity;
    expect(world.table.stat(pid)).toMatchObject({ startTicks, session: pid, processGroup: pid });
    expect(bootId).toBe(world.table.bootId());
    const environment = world.table.environment(pid, "SLUICE_WORKLOAD");
    expect(environment?.get("SLUICE_WORKLOAD")).toBe(`${world.boxId}/cam-1/1/${mark.nonce}`);
    expect(await until(() => readTextIfAny(files.rawOutputPath) === "err\n")).toBe(true);
    expect(readFileSync(files.progressPath, "utf8")).toBe("out\n");
    for (const path of [files.progressPath, files.rawOutputPath]) expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(handle.stat()).toMatchObject({ state: expect.stringMatching(/[RS]/) });
    expect(handle.stat()?.rssBytes).toBeGreaterThan(100_000);
    expect(handle.isAdopted).toBe(false);
    expect(await handle.stop(KILL)).toBe("gone");
    expect(await handle.exited).toMatchObject({ code: null, signal: "SIGKILL", isAdopted: false });
    expect(handle.stat()).toBeUndefined();
  });

  test("a launch that ends at once still has an identity and an exit code", async () => {
    await using world = openRuntimeWorld();
    const launch = { file: "sh", args: ["-c", "exit 7"], env: {} };
    const handle = await world.runtime.start(world.mark("cam-1"), launch, world.files("cam-1"));
    expect(handle.identity.startTicks).toBeGreaterThan(0);
    expect(await handle.exited).toMatchObject({ code: 7, signal: null });
    expect(await handle.stop(KILL)).toBe("gone");
  });

  test("begins the counters anew and keeps output that was not read yet", async () => {
    await using world = openRuntimeWorld();
    const files = world.files("cam-1");
    for (const word of ["one", "two"]) {
      const launch = { file: "sh", args: ["-c", `echo ${word}; echo ${word} >&2`], env: {} };
      await (await world.runtime.start(world.mark("cam-1"), launch, files)).exited;
    }
    expect(readFileSync(files.progressPath, "utf8")).toBe("two\n");
    expect(readFileSync(files.rawOutputPath, "utf8")).toBe("one\ntwo\n");
  });

  test("says what is wrong when it cannot start, and leaves no descriptor open", async () => {
    await using world = openRuntimeWorld();
    const files = world.files("cam-1");
    const missing = { file: "/nonexistent/ffmpeg", args: [], env: {} };
    const before = openDescriptors();
    await expect(world.runtime.start(world.mark("cam-1"), missing, files)).rejects.toMatchObject({ code: "not-found" });
    const blocked = { ...files, progressPath: join(files.progressPath, "below-a-file") };
    await expect(world.runtime.start(world.mark("cam-1"), SLEEP, blocked)).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining(files.directory),
    });
    expect(openDescriptors()).toBe(before);
  });

  test("sees an exit within milliseconds", async () => {
    await using world = openRuntimeWorld();
    const delays: number[] = [];
    for (let round = 0; round < 20; round++) {
      const handle = await world.runtime.start(world.mark("cam-1"), SLEEP, world.files("cam-1"));
      const killedAtMs = systemClock.monotonicMs();
      process.kill(handle.identity.pid, "SIGKILL");
      delays.push((await handle.exited).atMonotonicMs - killedAtMs);
    }
    delays.sort((left, right) => left - right);
    expect(delays[10]).toBeLessThan(20);
  });

  test("holds the same number of descriptors after 200 starts and exits", async () => {
    await using world = openRuntimeWorld();
    const rounds = async (count: number) => {
      for (let round = 0; round < count; round++) {
        const mark = world.mark("cam-1");
        const handle = await world.runtime.start(mark, SLEEP, world.files("cam-1"));
        const adopted = world.successor().runtime.adopt(handle.identity, mark);
        process.kill(handle.identity.pid, "SIGKILL");
        await Promise.all([handle.exited, round % 20 === 0 ? adopted?.exited : undefined]);
      }
      await systemClock.delay(600);
    };
    await rounds(5);
    const before = openDescriptors();
    await rounds(200);
    expect(openDescriptors()).toBe(before);
  });
});

describe("adopt", () => {
  test("takes over what a killed agent left running, with no word to the process", async () => {
    await using world = openRuntimeWorld();
    const script = join(world.stateDir, "agent.ts");
    writeFileSync(
      script,
      `import { createProcessRuntime } from "${join(import.meta.dirname, "linux-process-runtime.ts")}";
       import { createProcessTable } from "${join(import.meta.dirname, "../../../base/process-table.ts")}";
       import { createSpawner } from "${join(import.meta.dirname, "../../../base/spawn.ts")}";
       import { systemClock as clock } from "${join(import.meta.dirname, "../../../base/clock.ts")}";
       import { createMemoryLog } from "${join(import.meta.dirname, "../../../base/log.ts")}";
       const [stateDir, mark, launch, files] = process.argv.slice(2).map((text) => JSON.parse(text));
       const table = createProcessTable();
       const spawner = createSpawner({ ambient: process.env }, { clock });
       const deps = { clock, log: createMemoryLog(), spawner, table, listPids: async () => table.pids(), place: () => undefined, signal: new AbortController().signal };
       const handle = await createProcessRuntime({ stateDir }, deps).start(mark, launch, files);
       console.log(JSON.stringify({ ...handle.identity, agentPid: process.pid }));
       process.kill(process.pid, "SIGKILL");`,
    );
    const mark = world.mark("cam-1");
    const files = world.files("cam-1");
    const parts = [world.stateDir, mark, fakeFfmpeg("--period-ms", "20"), files];
    const args = [
      "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
      script,
      ...parts.map((part) => JSON.stringify(part)),
    ];
    const agent = await spawner.runProgram("setsid", ["--wait", process.execPath, ...args], {
      timeoutMs: 20_000,
      maxOutputBytes: 10_000,
    });
    const identity: ProcessIdentity = JSON.parse(agent.stdout);

    const found = await world.runtime.sweep();
    expect(found).toEqual([
      {
        identity: { pid: identity.pid, startTicks: identity.startTicks, bootId: identity.bootId },
        mark,
        isLeader: true,
      },
    ]);
    const handle = world.runtime.adopt(identity, mark);
    expect(handle).toMatchObject({ isAdopted: true, mark });
    const countBlocks = () => readFileSync(files.progressPath, "utf8").split("progress=continue").length;
    const before = countBlocks();
    expect(await until(() => countBlocks() > before + 3)).toBe(true);
    expect(await handle?.stop(LADDER)).toBe("gone");
    expect(await handle?.exited).toMatchObject({ code: null, signal: null, isAdopted: true });
    expect(readFileSync(files.progressPath, "utf8")).toContain("progress=end");
  });

  test("trusts no process whose identity or mark differs in anything", async () => {
    await using world = openRuntimeWorld();
    const mark = world.mark("cam-1");
    const { identity } = await world.runtime.start(mark, SLEEP, world.files("cam-1"));
    const { runtime } = world.successor();
    const forgedIdentities: ProcessIdentity[] = [
      { ...identity, startTicks: identity.startTicks + 1 },
      { ...identity, bootId: "00000000-0000-4000-8000-000000000000" },
      { ...identity, pid: process.pid },
      { ...identity, pid: 1 },
      { ...identity, pid: -identity.pid },
      { ...identity, pid: 0 },
    ];
    for (const forged of forgedIdentities) expect(runtime.adopt(forged, mark)).toBeUndefined();
    const forgedMarks: Partial<ProcessMark>[] = [
      { nonce: "0".repeat(32) },
      { workloadId: "cam-2" },
      { generation: 2 },
      { boxId: "other" },
    ];
    for (const forged of forgedMarks) expect(runtime.adopt(identity, { ...mark, ...forged })).toBeUndefined();
    expect(runtime.adopt(identity, { ...mark, specHash: "forged" })?.mark.specHash).toBe("abc");
    expect(isRunning(world.table, identity.pid)).toBe(true);
  });

  test("a stranger on a recorded number is neither trusted nor signalled", async () => {
    await using world = openRuntimeWorld();
    const stranger = await spawner.spawnDetached({ ...SLEEP, stdoutFd: 2, stderrFd: 2 });
    try {
      const startTicks = world.table.stat(stranger.pid)?.startTicks ?? 0;
      const identity = { pid: stranger.pid, startTicks, bootId: world.table.bootId() ?? "" };
      expect(world.runtime.adopt(identity, world.mark("cam-1"))).toBeUndefined();
      expect(isRunning(world.table, stranger.pid)).toBe(true);
    } finally {
      process.kill(stranger.pid, "SIGKILL");
      await stranger.exited;
    }
  });

  test("another user's process is not ours", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "needs root to become somebody else");
    await using world = openRuntimeWorld();
    const { identity } = await world.runtime.start(world.mark("cam-1"), SLEEP, world.files("cam-1"));
    const setpriv = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const read = await spawner.runProgram("setpriv", [...setpriv, "cat", `/proc/${identity.pid}/environ`], {
      timeoutMs: 5000,
      maxOutputBytes: 1000,
    });
    // The kernel refuses, and the table takes a refusal for a stranger (see process-table.ts, NOT_OURS).
    expect(read.code).not.toBe(0);
    expect(read.stderr).toContain("Permission denied");
  });

  test("has one timer for all adopted processes and none without any", async () => {
    await using world = openRuntimeWorld();
    const clock = createFakeClock();
    const { runtime, stop } = world.successor(clock);
    const handles = await Promise.all(
      ["a", "b"].map(async (id) => {
        const mark = world.mark(id);
        const started = await world.runtime.start(mark, SLEEP, world.files(id));
        return { started, adopted: runtime.adopt(started.identity, mark) };
      }),
    );
    expect(clock.pending()).toBe(1);
    await clock.advance(1000);
    expect(clock.pending()).toBe(1);
    const [first, second] = handles;
    await first?.started.stop(KILL);
    await clock.advance(250);
    expect(await first?.adopted?.exited).toMatchObject({ code: null, signal: null, isAdopted: true });
    expect(second?.adopted?.stat()).toBeDefined();
    stop.abort();
    expect(clock.pending()).toBe(0);
    expect(second?.adopted?.stat()).toBeUndefined();
  });
});

describe("sweep", () => {
  test("finds each launch of this state directory once, whatever its box was called, and nothing else", async () => {
    await using world = openRuntimeWorld();
    await using other = openRuntimeWorld();
    const withChildren = { file: "sh", args: ["-c", "sleep 300 & setsid sleep 300 & wait"], env: {} };
    const marks = [world.mark("cam-1", { generation: 3 }), world.mark("cam-2", { boxId: "name-before" })];
    const started = [
      await world.runtime.start(marks[0] ?? world.mark("x"), withChildren, world.files("cam-1")),
      await world.runtime.start(marks[1] ?? world.mark("x"), SLEEP, world.files("cam-2")),
    ];
    await other.runtime.start({ ...other.mark("cam-3"), boxId: world.boxId }, SLEEP, other.files("cam-3"));
    const malformed = {
      SLUICE_WORKLOAD: `${world.boxId}/cam-5/1/xyz`,
      SLUICE_SPEC: "a/b",
      SLUICE_STATE_DIR: world.stateDir,
    };
    await spawner.spawnDetached({ ...SLEEP, env: malformed, stdoutFd: 2, stderrFd: 2 });

    const children = () =>
      world.table.pids().filter((pid) => world.table.environment(pid, marks[0]?.nonce ?? "-")).length;
    expect(await until(() => children() === 3)).toBe(true);
    const found = [...(await world.runtime.sweep())].sort((a, b) => a.mark.workloadId.localeCompare(b.mark.workloadId));
    expect(found).toEqual(
      started.map((handle, index) => ({ identity: handle.identity, mark: marks[index], isLeader: true })),
    );
  });

  test("shows what a launch left behind when its first process is gone, and never a zombie", async () => {
    await using world = openRuntimeWorld();
    const mark = world.mark("cam-1");
    // The shell that waits for nobody keeps its dead child as a zombie.
    const launch = { file: "sh", args: ["-c", "sleep 300 & exec sleep 0.3"], env: {} };
    // Started by no runtime, so that nobody ends what it leaves behind.
    const env = {
      SLUICE_WORKLOAD: `${world.boxId}/cam-1/1/${mark.nonce}`,
      SLUICE_SPEC: "stream/abc",
      SLUICE_STATE_DIR: world.stateDir,
    };
    const child = await spawner.spawnDetached({ ...launch, env, stdoutFd: 2, stderrFd: 2 });
    await child.exited;
    const [left, ...more] = await world.runtime.sweep();
    expect(more).toEqual([]);
    expect(left).toMatchObject({ mark: { nonce: mark.nonce }, isLeader: false });
    const handle = left === undefined ? undefined : world.runtime.adopt(left.identity, left.mark);
    expect(await handle?.stop(LADDER)).toBe("gone");
    expect(await world.runtime.sweep()).toEqual([]);
  });
});
