import pidusage from "pidusage";

export interface ProcessUsage {
  /** Of one core, since the reading before; the first reading gives the average since the process started. */
  readonly cpuPercent: number;
  readonly rssBytes: number;
}

/** CPU and memory of processes. A process that is gone is left out; no reading at all gives an empty map. */
export async function readProcessUsage(pids: readonly number[]): Promise<ReadonlyMap<number, ProcessUsage>> {
  if (pids.length === 0) return new Map();
  const readings: Readonly<Record<string, { readonly cpu: number; readonly memory: number } | null | undefined>> =
    await pidusage([...pids]).catch(() => ({}));
  const usage = new Map<number, ProcessUsage>();
  for (const pid of pids) {
    const reading = readings[pid];
    if (reading !== undefined && reading !== null)
      usage.set(pid, { cpuPercent: reading.cpu, rssBytes: reading.memory });
  }
  return usage;
}

/** Forgets the readings that CPU shares are computed from. */
export function forgetProcessUsage(): void {
  pidusage.clear();
}
