import type { GuardOptions } from "../../config/agent-options.ts";
import { parseBytes, parseCores } from "../../contract/quantity.ts";
import { DEFAULT_PRIORITY, type Workload } from "../../contract/workload.ts";

/** What one workload may use; a field that is absent has no limit. */
export interface Limits {
  readonly memoryBytes?: number;
  readonly cpuCores?: number;
}

export type LimitOptions = Pick<GuardOptions, "memoryBytes" | "cpuCores" | "maxMemoryBytes" | "maxCpuCores">;

/** What the workload asks for, else the box's default; never more than the box's ceiling. */
export function limitsOf(workload: Workload | undefined, options: LimitOptions): Limits {
  const { memory = "", cpu = "" } = workload?.resources ?? {};
  const memoryBytes = least(parseBytes(memory) ?? options.memoryBytes, options.maxMemoryBytes);
  const cpuCores = least(parseCores(cpu) ?? options.cpuCores, options.maxCpuCores);
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpuCores === undefined ? {} : { cpuCores }),
  };
}

/** 0 to 100: the higher it is, the later it gives way. */
export function priorityOf(workload: Workload | undefined): number {
  return workload?.priority ?? DEFAULT_PRIORITY;
}

/** Out of memory, the kernel takes the least important first, and all of them before the agent. Of -1000 to 1000. */
export function oomScoreOf(priority: number): number {
  return 600 - 6 * priority;
}

/** 0 to 19. Without cgroups this is what shares the processors out. */
export function niceOf(priority: number, nice: number): number {
  return Math.min(19, Math.max(0, nice + Math.round((DEFAULT_PRIORITY - priority) / 10)));
}

/** Of a cgroup, 1 to 10000, where 100 is the kernel's default: 12 points of priority double the share. */
export function cpuWeightOf(priority: number): number {
  return Math.round(100 * 2 ** ((priority - DEFAULT_PRIORITY) / 12.5));
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : Math.min(one, other ?? one);
}
