import { expect, test } from "vitest";
import type { CgroupBranch } from "../../base/cgroup-branch.ts";
import { createMemoryLog } from "../../base/log.ts";
import { createWorkloadCgroups, settingsOf } from "./workload-cgroups.ts";

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
    counter: (name, file, field) =>
      groups.has(name) && `${file} ${field}` === "memory.events oom_kill" ? world.kills : undefined,
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
