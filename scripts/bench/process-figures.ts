import { readFileSync } from "node:fs";

export interface ProcessFigures {
  /** What is mapped, shared pages included. */
  readonly rssMB: number;
  /** Shared pages by their share. */
  readonly pssMB: number;
  /** CPU time of the process and of the children that it has waited for. */
  readonly cpuMs: number;
}

/** USER_HZ, which Linux shows to all programs on all of our platforms (proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;
const KB_PER_MB = 1024;
/** utime, stime, cutime, cstime, counted from the state. */
const CPU_FIELDS = [11, 12, 13, 14] as const;

export function readProcessFigures(pid: number): ProcessFigures {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kilobytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
  const ticks = CPU_FIELDS.reduce((sum, field) => sum + Number(fields[field]), 0);
  return {
    rssMB: kilobytes("Rss") / KB_PER_MB,
    pssMB: kilobytes("Pss") / KB_PER_MB,
    cpuMs: (ticks * 1000) / TICKS_PER_SECOND,
  };
}
