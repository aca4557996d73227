import { readdirSync, readFileSync } from "node:fs";

/** What a process holds, as the kernel counts it. */
export interface Resources {
  readonly fds: number;
  readonly rssMB: number;
}

const KB_PER_MB = 1024;

export function resourcesOf(pid: number): Resources {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    fds: readdirSync(`/proc/${pid}/fd`).length,
    rssMB: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / KB_PER_MB,
  };
}
