import { readdirSync, readFileSync } from "node:fs";
import { readProcessFigures } from "../process-figures.ts";

/** CPU time of these processes and of all that they have begun and that still runs, milliseconds. */
export function readTreeCpuMs(roots: readonly number[]): number {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const seen = new Set<number>();
  const sum = (pid: number): number => {
    if (seen.has(pid)) return 0;
    seen.add(pid);
    return ownCpuMs(pid) + (children.get(pid) ?? []).reduce((all, child) => all + sum(child), 0);
  };
  return roots.reduce((all, root) => all + sum(root), 0);
}

function ownCpuMs(pid: number): number {
  try {
    return readProcessFigures(pid).cpuMs;
  } catch {
    return 0;
  }
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[1]);
  } catch {
    return -1;
  }
}
