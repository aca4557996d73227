import { join } from "node:path";
import { readProcText } from "./proc-text.ts";

/** How busy this machine is, from counters that only grow. */
export interface CpuTimes {
  readonly busyTicks: number;
  readonly totalTicks: number;
  readonly cores: number;
}

export interface HostMemory {
  readonly totalBytes: number;
  /** What programs can still get without swapping. */
  readonly availableBytes: number;
}

/** The load of the whole machine. Each reading is one small file of procfs; undefined where the kernel does not tell. */
export interface HostLoad {
  cpu(): CpuTimes | undefined;
  memory(): HostMemory | undefined;
  /** Share of the last ten seconds in which some process waited for a processor, in percent (PSI). */
  cpuPressurePercent(): number | undefined;
}

export function createHostLoad(root = "/proc"): HostLoad {
  const read = (name: string) => readProcText(join(root, name)) ?? "";
  return {
    cpu: () => parseCpuTimes(read("stat")),
    memory: () => parseMeminfo(read("meminfo")),
    cpuPressurePercent: () => parsePressure(read("pressure/cpu")),
  };
}

/** `/proc/stat`. Time that a hypervisor took counts as busy: it is not to be had either. */
export function parseCpuTimes(text: string): CpuTimes | undefined {
  const all = /^cpu +(.+)$/m.exec(text)?.[1];
  if (all === undefined) return undefined;
  // user nice system idle iowait irq softirq steal; what guests use is in user already.
  const ticks = all.split(" ").slice(0, 8).map(Number);
  if (ticks.length < 4 || !ticks.every(Number.isFinite)) return undefined;
  const totalTicks = ticks.reduce((sum, value) => sum + value, 0);
  const idleTicks = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busyTicks: totalTicks - idleTicks, totalTicks, cores: Math.max(1, (text.match(/^cpu\d+ /gm) ?? []).length) };
}

export function parseMeminfo(text: string): HostMemory | undefined {
  const kibibytes = (name: string) => new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)?.[1];
  const total = kibibytes("MemTotal");
  const available = kibibytes("MemAvailable");
  if (total === undefined || available === undefined) return undefined;
  return { totalBytes: Number(total) * 1024, availableBytes: Number(available) * 1024 };
}

export function parsePressure(text: string): number | undefined {
  const percent = /^some avg10=(\d+\.\d+) /m.exec(text)?.[1];
  return percent === undefined ? undefined : Number(percent);
}
