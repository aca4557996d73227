import type { Clock } from "../../base/clock.ts";
import { forgetProcessUsage, type ProcessUsage, readProcessUsage } from "../../base/process-usage.ts";

export interface UsageSampler {
  run(signal: AbortSignal): Promise<void>;
  /** The last reading of a process. */
  of(pid: number | undefined): ProcessUsage | undefined;
}

/** Reads CPU and memory of all running workloads once a period. */
export function createUsageSampler(
  options: { readonly periodMs: number },
  deps: { readonly clock: Clock; readonly pids: () => readonly number[] },
): UsageSampler {
  let usage: ReadonlyMap<number, ProcessUsage> = new Map();
  return {
    of: (pid) => (pid === undefined ? undefined : usage.get(pid)),
    run: async (signal) => {
      while (!signal.aborted) {
        await deps.clock.delay(options.periodMs, signal).catch(() => undefined);
        if (!signal.aborted) usage = await readProcessUsage(deps.pids());
      }
      forgetProcessUsage();
    },
  };
}
