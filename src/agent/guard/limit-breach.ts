import type { Finding } from "../health/diagnose.ts";
import type { Limits } from "./limits.ts";

/**
 * Limits where no cgroup holds a workload to them: judged by what it is seen to use, over time. One peak is no breach,
 * and time in which this agent did not look counts for nothing. Pure.
 */
export interface LimitUse {
  readonly overMemoryMs: number;
  readonly overCpuMs: number;
}

export interface UseReading {
  readonly rssBytes: number | undefined;
  /** Share of one core, smoothed over some seconds. */
  readonly cpuShare: number | undefined;
  readonly countedMs: number;
}

export const NO_USE: LimitUse = { overMemoryMs: 0, overCpuMs: 0 };

export const OVER_MEMORY_MS = 4000;
export const OVER_CPU_MS = 30_000;
/** A process that is held to its share by nothing but its own work goes a little over it at times. */
const CPU_TOLERANCE = 1.1;

export function observeUse(use: LimitUse, reading: UseReading, limits: Limits): LimitUse {
  const { memoryBytes, cpuCores } = limits;
  const isOverMemory = memoryBytes !== undefined && (reading.rssBytes ?? 0) > memoryBytes;
  const isOverCpu = cpuCores !== undefined && (reading.cpuShare ?? 0) > cpuCores * CPU_TOLERANCE;
  return {
    overMemoryMs: isOverMemory ? use.overMemoryMs + reading.countedMs : 0,
    overCpuMs: isOverCpu ? use.overCpuMs + reading.countedMs : 0,
  };
}

/** Why the process must be replaced; undefined while it keeps within its limits. */
export function breachOf(use: LimitUse, reading: UseReading, limits: Limits): Finding | undefined {
  if (use.overMemoryMs >= OVER_MEMORY_MS) {
    const message = `it holds ${mebibytes(reading.rssBytes ?? 0)} of memory, its limit is ${mebibytes(limits.memoryBytes ?? 0)}`;
    return { cause: "over-memory", message, needsRestart: true };
  }
  if (use.overCpuMs >= OVER_CPU_MS) {
    const used = (reading.cpuShare ?? 0).toFixed(2);
    const message = `it has used ${used} cores for ${Math.round(use.overCpuMs / 1000)} s, its limit is ${limits.cpuCores}`;
    return { cause: "over-cpu", message, needsRestart: true };
  }
  return undefined;
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
