import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createCgroupBranch, delegatedDirectory, openCgroupBranch } from "./cgroup-branch.ts";

const V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";

test.each([
  {
    title: "a subgroup of its own below the unit: the unit's directory",
    cgroup: "0::/system.slice/sluice-agent.service/agent\n",
    mountinfo: V2,
    directory: "/sys/fs/cgroup/system.slice/sluice-agent.service",
  },
  {
    title: "in a namespace of cgroups the mount's root is taken off",
    cgroup: "0::/lxc/box/sluice/agent\n",
    mountinfo: "30 25 0:26 /lxc/box /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    directory: "/sys/fs/cgroup/sluice",
  },
  {
    title: "beside the controllers of version 1, where version 2 is mounted",
    cgroup: "4:memory:/x\n0::/u/agent\n",
    mountinfo: `29 25 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`,
    directory: "/sys/fs/cgroup/unified/u",
  },
  {
    title: "in the delegated group itself: none, or a manager could not start it again",
    cgroup: "0::/system.slice/sluice-agent.service\n",
    mountinfo: V2,
    directory: undefined,
  },
  { title: "version 1 alone: none", cgroup: "4:memory:/agent\n", mountinfo: V2, directory: undefined },
  { title: "not mounted: none", cgroup: "0::/a/agent\n", mountinfo: "", directory: undefined },
  { title: "no procfs: none", cgroup: "", mountinfo: "", directory: undefined },
])("$title", ({ cgroup, mountinfo, directory }) => {
  expect(delegatedDirectory({ cgroup, mountinfo })).toBe(directory);
});

describe("a directory in the shape of a delegated group", () => {
  test("without the controllers it is no use, and the reason says which are missing", () => {
    const mount = mkdtempSync(join(tmpdir(), "sluice-cgroup-"));
    try {
      mkdirSync(join(mount, "unit"));
      const place = { cgroup: "0::/unit/agent\n", mountinfo: `30 25 0:26 / ${mount} rw - cgroup2 cgroup2 rw` };
      expect(openCgroupBranch(place)).toEqual({ problem: `${mount}/unit cannot be used (ENOENT)` });
      writeFileSync(join(mount, "unit/cgroup.procs"), "");
      writeFileSync(join(mount, "unit/cgroup.controllers"), "memory pids\n");
      expect(openCgroupBranch(place)).toEqual({ problem: `${mount}/unit has no cpu controller` });
      writeFileSync(join(mount, "unit/cgroup.controllers"), "cpuset cpu io memory pids\n");
      expect(openCgroupBranch(place)).toMatchObject({ branch: { directory: `${mount}/unit` } });
      expect(readFileSync(join(mount, "unit/cgroup.subtree_control"), "utf8")).toBe("+cpu +memory");
    } finally {
      rmSync(mount, { recursive: true });
    }
  });
});

const hierarchy = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((path) => {
  try {
    accessSync(join(path, "cgroup.procs"), constants.W_OK);
    return true;
  } catch {
    return false;
  }
});

describe.skipIf(hierarchy === undefined)(
  `a real hierarchy${hierarchy === undefined ? " (skipped: needs a cgroup of version 2 that may be written to)" : ""}`,
  () => {
    test("a running process is moved with its group's name, and the group goes when it is empty", async () => {
      const directory = join(hierarchy ?? "", `sluice-test-${process.pid}`);
      mkdirSync(directory);
      const child = spawn("sleep", ["60"], { stdio: "ignore" });
      try {
        const branch = createCgroupBranch(directory);
        branch.make("workload-cam-1@3");
        branch.make("workload-cam-1@3");
        branch.move("workload-cam-1@3", child.pid ?? -1);
        expect(readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toMatch(
          new RegExp(`^0::.*/sluice-test-${process.pid}/workload-cam-1@3$`, "m"),
        );
        expect(branch.names()).toEqual(["workload-cam-1@3"]);
        expect(branch.counter("workload-cam-1@3", "cgroup.events", "populated")).toBe(1);
        expect(branch.counter("workload-cam-1@3", "cgroup.events", "nonsense")).toBeUndefined();
        expect(branch.remove("workload-cam-1@3")).toBe(false);
        child.kill("SIGKILL");
        await once(child, "exit");
        expect(branch.remove("workload-cam-1@3")).toBe(true);
        expect(branch.remove("workload-cam-1@3")).toBe(true);
        expect(() => branch.write("workload-cam-1@3", "memory.max", "1")).toThrow(/ENOENT/);
      } finally {
        child.kill("SIGKILL");
        for (const name of createCgroupBranch(directory).names()) rmdirSync(join(directory, name));
        rmdirSync(directory);
      }
    });
  },
);
