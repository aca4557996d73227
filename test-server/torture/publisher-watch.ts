import { readFileSync } from "node:fs";
import type { Clock } from "../../src/base/clock.ts";
import type { OwnProcesses } from "./own-processes.ts";

/** Looks all the time whether two processes publish under one key. */
export interface PublisherWatch {
  /** Runs until the signal. */
  run(signal: AbortSignal): Promise<void>;
  /** What was seen; undefined while all is well. */
  doubled(): string | undefined;
  looks(): number;
}

const PERIOD_MS = 150;

export function createPublisherWatch(deps: {
  readonly processes: OwnProcesses;
  readonly clock: Clock;
}): PublisherWatch {
  let doubled: string | undefined;
  let looks = 0;

  const look = () => {
    looks++;
    const pidsOfKey = new Map<string, number[]>();
    for (const { pid } of deps.processes.marked()) {
      const key = publishedKey(pid);
      if (key !== undefined) pidsOfKey.set(key, [...(pidsOfKey.get(key) ?? []), pid]);
    }
    for (const [key, pids] of pidsOfKey) {
      if (pids.length < 2) continue;
      // One may have ended between the two readings: both must still be there.
      const still = deps.processes.marked().filter(({ pid }) => pids.includes(pid));
      if (still.length < 2) continue;
      const shown = still.map(({ pid, generation, state }) => `pid ${pid} (generation ${generation}, ${state})`);
      doubled ??= `${key.replace(/-[0-9a-f]+$/, "")} is published by ${shown.join(" and ")}`;
    }
  };

  return {
    run: async (signal) => {
      while (!signal.aborted) {
        look();
        await deps.clock.delay(PERIOD_MS, signal).catch(() => undefined);
      }
    },
    doubled: () => doubled,
    looks: () => looks,
  };
}

function publishedKey(pid: number): string | undefined {
  try {
    return /\/live\/(key-[\w-]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
