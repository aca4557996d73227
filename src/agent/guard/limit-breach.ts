import type { Finding } from "../health/finding.ts";
import type { Limits } from "./limits.ts";

/**
 * Limits where no cgroup holds a workload to them: judged by what it is seen to use, over time. One peak is no breach,
 * and time in which this agent did not look counts for nothing. Pure.
 */
export interface LimitUse {
  readonly overMemoryMs: number;
  readonly overCpuMs: number;
  readonly rssBytes: number;
  readonly cpuTicks: number | undefined;
  /** Cores, smoothed over some seconds; undefined until two readings. */
  readonly cpuShare: number | undefined;
}

/** Of `/proc/PID/stat`, and the time since the reading before. */
export interface UseReading {
  readonly rssBytes: number;
  readonly cpuTicks: number;
  readonly elapsedMs: number;
}

export const NO_USE: LimitUse = {
  overMemoryMs: 0,
  overCpuMs: 0,
  rssBytes: 0,
  cpuTicks: undefined,
  cpuShare: undefined,
};

export const OVER_MEMORY_MS = 6000;
export const OVER_CPU_MS = 30_000;
/** A longer time between two readings was not watched. */
export const MOST_COUNTED_MS = 4000;
/** USER_HZ: 100 on every Linux that Sluice runs on. */
const TICKS_A_SECOND = 100;
/** Weight of the newest reading. */
const SMOOTHING = 0.4;
/** A process that is held to its share by nothing but its own work goes a little over it at times. */
const CPU_TOLERANCE = 1.1;

export function observeUse(use: LimitUse, reading: UseReading, { memoryBytes, cpuCores }: Limits): LimitUse {
  const { rssBytes, cpuTicks, elapsedMs } = reading;
  const countedMs = Math.min(elapsedMs, MOST_COUNTED_MS);
  const cpuShare = smoothed(use, reading);
  const isOverMemory = memoryBytes !== undefined && rssBytes > memoryBytes;
  const isOverCpu = cpuCores !== undefined && (cpuShare ?? 0) > cpuCores * CPU_TOLERANCE;
  return {
    overMemoryMs: isOverMemory ? use.overMemoryMs + countedMs : 0,
    overCpuMs: isOverCpu ? use.overCpuMs + countedMs : 0,
    rssBytes,
    cpuTicks,
    cpuShare,
  };
}

function smoothed(before: LimitUse, { cpuTicks, elapsedMs }: UseReading): number | undefined {
  if (before.cpuTicks === undefined || elapsedMs <= 0) return before.cpuShare;
  const share = ((cpuTicks - before.cpuTicks) / TICKS_A_SECOND) * (1000 / elapsedMs);
  return before.cpuShare === undefined ? share : before.cpuShare + SMOOTHING * (share - before.cpuShare);
}

/** Why the process must be replaced; undefined while it keeps within its limits. */
export function breachOf(use: LimitUse, limits: Limits): Finding | undefined {
  if (use.overMemoryMs >= OVER_MEMORY_MS) {
    const message = `it holds ${mebibytes(use.rssBytes)} of memory, its limit is ${mebibytes(limits.memoryBytes ?? 0)}`;
    return { cause: "over-memory", message, needsRestart: true };
  }
  if (use.overCpuMs >= OVER_CPU_MS) {
    const used = (use.cpuShare ?? 0).toFixed(2);
    const message = `it has used ${used} cores for ${Math.round(use.overCpuMs / 1000)} s, its limit is ${limits.cpuCores}`;
    return { cause: "over-cpu", message, needsRestart: true };
  }
  return undefined;
}

export function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
