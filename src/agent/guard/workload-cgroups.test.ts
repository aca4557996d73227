import { spawn } from "node:child_process";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type CgroupBranch, createCgroupBranch } from "../../base/cgroup-branch.ts";
import { systemClock } from "../../base/clock.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createProcessTable } from "../../base/process-table.ts";
import { createWorkloadCgroups, settingsOf } from "./workload-cgroups.ts";

/** Where this user may make groups; a machine without such a place cannot show what the kernel does. */
const ROOT = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((place) => {
  try {
    const probe = join(place, `sluice-probe-${process.pid}`);
    mkdirSync(probe);
    const isUnified = createCgroupBranch(place).counter(`sluice-probe-${process.pid}`, "cgroup.events", "frozen") === 0;
    rmdirSync(probe);
    return isUnified;
  } catch {
    return false;
  }
});

const SHARE = { limits: { memoryBytes: 268_435_456, cpuCores: 0.5 }, priority: 75 };
const LAUNCH = { workloadId: "cam-1", generation: 3 };

function createBranch() {
  const calls: string[] = [];
  const groups = new Set<string>(["agent", "workload-old@1"]);
  const busy = new Set<string>();
  const world = { fails: false, kills: 0 };
  const branch: CgroupBranch = {
    directory: "/sys/fs/cgroup/unit",
    make: (name) => {
      if (world.fails) throw new Error("ENOSPC: no space left");
      groups.add(name);
      calls.push(`make ${name}`);
    },
    move: (name, pid) => void calls.push(`move ${pid} ${name}`),
    write: (name, file, value) => void calls.push(`${name}/${file} = ${value}`),
    counter: (name, file, field) => {
      if (!groups.has(name)) return undefined;
      const counters: Readonly<Record<string, number>> = {
        "memory.events oom_kill": world.kills,
        "cgroup.events populated": Number(busy.has(name)),
        "cgroup.events frozen": Number(
          calls.findLast((call) => call.includes("cgroup.freeze"))?.endsWith("1") === true,
        ),
      };
      return counters[`${file} ${field}`];
    },
    remove: (name) => !busy.has(name) && groups.delete(name),
    names: () => [...groups],
  };
  const log = createMemoryLog();
  return { cgroups: createWorkloadCgroups(branch, { log }), calls, groups, busy, world, log };
}

test("limits become what the kernel reads; no limit is max", () => {
  expect(settingsOf(SHARE)).toEqual({
    "memory.max": "268435456",
    "memory.oom.group": "1",
    "cpu.max": "50000 100000",
    "cpu.weight": "400",
  });
  expect(settingsOf({ limits: {}, priority: 50 })).toMatchObject({ "memory.max": "max", "cpu.max": "max 100000" });
  expect(settingsOf({ limits: { cpuCores: 0.001 }, priority: 50 })["cpu.max"]).toBe("1000 100000");
});

test("the limits are set before the process is moved in, and then only what changes is written", () => {
  const { cgroups, calls } = createBranch();
  cgroups.hold(LAUNCH, 42, SHARE);
  expect(calls).toEqual([
    "make workload-cam-1@3",
    "workload-cam-1@3/memory.max = 268435456",
    "workload-cam-1@3/memory.oom.group = 1",
    "workload-cam-1@3/cpu.max = 50000 100000",
    "workload-cam-1@3/cpu.weight = 400",
    "move 42 workload-cam-1@3",
  ]);
  calls.splice(0);
  cgroups.hold(LAUNCH, 42, SHARE);
  expect(calls).toEqual([]);
  cgroups.hold(LAUNCH, 42, { ...SHARE, priority: 50 });
  expect(calls).toEqual(["workload-cam-1@3/cpu.weight = 100"]);
});

test("groups of launches that are gone go too, but never the agent's own, and one in use is tried again", () => {
  const { cgroups, groups, busy } = createBranch();
  cgroups.hold(LAUNCH, 42, SHARE);
  busy.add("workload-old@1");
  cgroups.removeOthers([LAUNCH]);
  expect([...groups]).toEqual(["agent", "workload-old@1", "workload-cam-1@3"]);
  busy.clear();
  cgroups.removeOthers([]);
  expect([...groups]).toEqual(["agent"]);
  expect(cgroups.isHeld(LAUNCH)).toBe(false);
});

test("a kernel that refuses is told once, and the limits are measured", () => {
  const { cgroups, world, log } = createBranch();
  world.fails = true;
  cgroups.hold(LAUNCH, 42, SHARE);
  cgroups.hold(LAUNCH, 42, SHARE);
  expect(cgroups.isHeld(LAUNCH)).toBe(false);
  expect(log.lines).toEqual(["[WARN] A cgroup cannot be used, so that limits are measured: ENOSPC: no space left"]);
  world.fails = false;
  cgroups.hold(LAUNCH, 42, SHARE);
  expect(cgroups.isHeld(LAUNCH)).toBe(true);
});

test("kills at the limit are the kernel's own count", () => {
  const { cgroups, world } = createBranch();
  cgroups.hold(LAUNCH, 42, SHARE);
  expect(cgroups.oomKills(LAUNCH)).toBe(0);
  world.kills = 1;
  expect(cgroups.oomKills(LAUNCH)).toBe(1);
  expect(cgroups.oomKills({ workloadId: "other", generation: 1 })).toBe(0);
});

test("a launch with a group of its own is frozen as a whole, an earlier agent's too; one without says so", () => {
  const { cgroups, calls, busy } = createBranch();
  const old = { workloadId: "old", generation: 1 };
  expect(cgroups.freeze(old, true)).toBe(false);
  expect(cgroups.isFrozen(old)).toBeUndefined();
  busy.add("workload-old@1");
  expect(cgroups.isFrozen(old)).toBe(false);
  expect(cgroups.freeze(old, true)).toBe(true);
  expect(calls).toEqual(["workload-old@1/cgroup.freeze = 1"]);
  expect(cgroups.isFrozen(old)).toBe(true);
  cgroups.freeze(old, false);
  expect(cgroups.isFrozen(old)).toBe(false);
});

test.skipIf(ROOT === undefined)(
  "the kernel stops a frozen launch, whoever asks, and lets it go on (needs cgroup v2 to write to)",
  async () => {
    const directory = join(ROOT ?? "", `sluice-freezer-${process.pid}`);
    const branch = createCgroupBranch(directory);
    const child = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
    const { pid = -1 } = child;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await gone;
      await expect.poll(() => branch.remove("workload-app@1")).toBe(true);
      rmdirSync(directory);
    });
    branch.make("workload-app@1");
    branch.move("workload-app@1", pid);
    const launch = { workloadId: "app", generation: 1 };
    const agents = [1, 2].map(() => createWorkloadCgroups(branch, { log: createMemoryLog() }));
    const ticks = () => createProcessTable().stat(pid)?.cpuTicks ?? 0;
    expect(agents[0]?.freeze(launch, true)).toBe(true);
    await expect.poll(() => agents[1]?.isFrozen(launch)).toBe(true);
    const before = ticks();
    await systemClock.delay(500);
    expect(ticks()).toBe(before);
    expect(agents[1]?.freeze(launch, false)).toBe(true);
    await expect.poll(ticks, { timeout: 10_000 }).toBeGreaterThan(before);
  },
);
