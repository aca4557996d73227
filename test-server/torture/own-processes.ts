import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { isLive } from "../../src/base/proc-stat.ts";
import { createProcessTable } from "../../src/base/process-table.ts";

/** A live process that an agent started for a workload, as the kernel shows it. */
export interface MarkedProcess {
  readonly pid: number;
  readonly workloadId: string;
  readonly generation: number;
  /** Of the kernel: `R S D T`. */
  readonly state: string;
  /** False for what a workload's process started itself. */
  readonly isLeader: boolean;
}

/** Everything that runs for one state directory, found in `/proc` and nowhere else. */
export interface OwnProcesses {
  /** Processes with a workload's mark. */
  marked(): readonly MarkedProcess[];
  /** Those, and whatever else was started with the state directory or the home directory of this run. */
  all(): readonly number[];
  /** SIGKILL, until nothing is left. */
  sweep(): Promise<void>;
}

const SWEEP_MS = 15_000;

export function findOwnProcesses(options: { readonly stateDir: string; readonly home: string }): OwnProcesses {
  const { stateDir, home } = options;
  const table = createProcessTable();

  const marked = (): readonly MarkedProcess[] =>
    table.pids().flatMap((pid) => {
      const environment = table.environment(pid, "SLUICE_WORKLOAD");
      if (environment?.get("SLUICE_STATE_DIR") !== stateDir) return [];
      const [, workloadId = "", generation = ""] = environment.get("SLUICE_WORKLOAD")?.split("/") ?? [];
      const stat = table.stat(pid);
      if (!isLive(stat)) return [];
      return [{ pid, workloadId, generation: Number(generation), state: stat.state, isLeader: stat.session === pid }];
    });

  const all = () =>
    table.pids().filter((pid) => {
      if (pid === process.pid) return false;
      const environment = table.environment(pid, home);
      const isOurs = environment?.get("SLUICE_STATE_DIR") === stateDir || environment?.get("HOME") === home;
      return isOurs && isLive(table.stat(pid));
    });

  return {
    marked,
    all,
    sweep: async () => {
      const endMs = systemClock.monotonicMs() + SWEEP_MS;
      // Again and again: what is killed may have been about to start something.
      for (let found = all(); found.length > 0; found = all()) {
        for (const pid of found) signalQuietly(pid, "SIGKILL");
        if (systemClock.monotonicMs() > endMs) {
          throw new AppError("timeout", `still running after SIGKILL: ${found.join(", ")}`);
        }
        await systemClock.delay(50);
      }
    },
  };
}

/** False when there was nobody to signal. */
export function signalQuietly(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
