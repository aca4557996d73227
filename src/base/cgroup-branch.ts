import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path/posix";
import { errnoOf } from "./errors.ts";
import { readProcText } from "./proc-text.ts";

/** The part of the cgroup hierarchy (version 2) that was given to this process: groups of one level, one for each name. */
export interface CgroupBranch {
  /** Where it begins, for people. */
  readonly directory: string;
  /** Makes the group where there is none. Throws the system's error. */
  make(name: string): void;
  /** Moves a whole process with all its threads. What it holds already stays accounted where it was. */
  move(name: string, pid: number): void;
  /** `memory.max` → `1048576`. */
  write(name: string, file: string, value: string): void;
  /** A counter of one of the group's `*.events` or `*.stat` files; undefined where there is none. */
  counter(name: string, file: string, field: string): number | undefined;
  /** False while processes are in it. */
  remove(name: string): boolean;
  names(): readonly string[];
}

export type FoundBranch = { readonly branch: CgroupBranch } | { readonly problem: string };

export interface CgroupPlace {
  /** This process's `/proc/self/cgroup` and `/proc/self/mountinfo`. */
  readonly cgroup: string;
  readonly mountinfo: string;
}

/** The group that holds the agent and nothing else: systemd's `DelegateSubgroup=agent`. */
export const OWN_SUBGROUP = "agent";
const CONTROLLERS = ["cpu", "memory"] as const;

export function readCgroupPlace(root = "/proc/self"): CgroupPlace {
  const read = (name: string) => readProcText(join(root, name)) ?? "";
  return { cgroup: read("cgroup"), mountinfo: read("mountinfo") };
}

/**
 * The directory above this process's own group, when that group is a subgroup of its own. A manager that puts a process
 * into the delegated group itself could not start it again: a group with controllers for its children takes no process.
 */
export function delegatedDirectory({ cgroup, mountinfo }: CgroupPlace): string | undefined {
  const own = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  if (own === undefined || basename(own) !== OWN_SUBGROUP) return undefined;
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , mountedRoot = "/", mountPoint = ""] = left.split(" ");
    if (!right.startsWith("cgroup2 ")) continue;
    const inside =
      mountedRoot === "/" ? own : own.startsWith(`${mountedRoot}/`) ? own.slice(mountedRoot.length) : undefined;
    if (inside !== undefined) return join(mountPoint, dirname(inside));
  }
  return undefined;
}

/** The branch, with processor time and memory under control, or why there is none. */
export function openCgroupBranch(place: CgroupPlace): FoundBranch {
  const directory = delegatedDirectory(place);
  if (directory === undefined) return { problem: "no cgroup was delegated to the agent" };
  try {
    accessSync(join(directory, "cgroup.procs"), constants.W_OK);
    const offered = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim().split(" ");
    const missing = CONTROLLERS.filter((controller) => !offered.includes(controller));
    if (missing.length > 0) return { problem: `${directory} has no ${missing.join(" and no ")} controller` };
    writeFileSync(join(directory, "cgroup.subtree_control"), CONTROLLERS.map((name) => `+${name}`).join(" "));
  } catch (thrown) {
    return { problem: `${directory} cannot be used (${errnoOf(thrown) ?? "failed"})` };
  }
  return { branch: createCgroupBranch(directory) };
}

export function createCgroupBranch(directory: string): CgroupBranch {
  const at = (name: string, file: string) => join(directory, name, file);
  return {
    directory,
    make: (name) => {
      mkdirSync(join(directory, name), { recursive: true });
    },
    move: (name, pid) => writeFileSync(at(name, "cgroup.procs"), String(pid)),
    write: (name, file, value) => writeFileSync(at(name, file), value),
    counter: (name, file, field) => {
      try {
        const text = new RegExp(`^${field} (\\d+)$`, "m").exec(readFileSync(at(name, file), "utf8"))?.[1];
        return text === undefined ? undefined : Number(text);
      } catch {
        return undefined;
      }
    },
    remove: (name) => {
      try {
        rmdirSync(join(directory, name));
        return true;
      } catch (thrown) {
        if (errnoOf(thrown) === "ENOENT") return true;
        if (errnoOf(thrown) === "EBUSY" || errnoOf(thrown) === "ENOTEMPTY") return false;
        throw thrown;
      }
    },
    names: () =>
      readdirSync(directory, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
  };
}
