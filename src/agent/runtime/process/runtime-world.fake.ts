import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../base/clock.ts";
import { createMemoryLog, type MemoryLog } from "../../../base/log.ts";
import { isLive } from "../../../base/proc-stat.ts";
import { createPidLister } from "../../../base/process-sweep.ts";
import { createProcessTable, type ProcessTable } from "../../../base/process-table.ts";
import { createSpawner } from "../../../base/spawn.ts";
import type { ProcessMark } from "../run-handle.ts";
import { createProcessRuntime } from "./linux-process-runtime.ts";
import type { Launch, ProcessRuntime, WorkloadFiles } from "./process-runtime.ts";

/** A state directory of its own and a runtime on it. Whatever carries its mark is killed at the end. */
export interface RuntimeWorld extends AsyncDisposable {
  readonly stateDir: string;
  readonly boxId: string;
  readonly table: ProcessTable;
  readonly log: MemoryLog;
  readonly runtime: ProcessRuntime;
  /** Ends the watching of adopted processes, as the end of an agent does. */
  readonly stop: AbortController;
  mark(workloadId: string, overrides?: Partial<ProcessMark>): ProcessMark;
  files(workloadId: string): WorkloadFiles;
  /** Another agent on the same state directory. */
  successor(clock?: Clock): { readonly runtime: ProcessRuntime; readonly stop: AbortController };
}

let count = 0;

export function openRuntimeWorld(): RuntimeWorld {
  const stateDir = realpathSync(mkdtempSync(join(tmpdir(), "sluice-runtime-")));
  count += 1;
  const boxId = `box-${process.pid}-${count}`;
  const table = createProcessTable();
  const log = createMemoryLog();
  const stops: AbortController[] = [];

  const successor = (clock = systemClock) => {
    const stop = new AbortController();
    stops.push(stop);
    const spawner = createSpawner({ ambient: process.env }, { clock });
    const listPids = createPidLister({ table, clock, log });
    const deps = { clock, log, spawner, table, listPids, place: () => undefined, signal: stop.signal };
    return { runtime: createProcessRuntime({ stateDir }, deps), stop };
  };

  return {
    ...successor(),
    stateDir,
    boxId,
    table,
    log,
    successor,
    mark: (workloadId, overrides = {}) => {
      count += 1;
      const nonce = `${process.pid.toString(16)}${count.toString(16).padStart(8, "0")}`.padStart(32, "0");
      return { boxId, workloadId, kind: "stream", generation: 1, nonce, specHash: "abc", ...overrides };
    },
    files: (workloadId) => {
      const directory = join(stateDir, "workloads", workloadId);
      mkdirSync(join(stateDir, "logs"), { recursive: true });
      return {
        directory,
        progressPath: join(directory, "progress"),
        rawOutputPath: join(directory, "output.raw"),
        logPath: join(stateDir, "logs", `${workloadId}.log`),
        previewPath: join(directory, "preview.jpg"),
      };
    },
    [Symbol.asyncDispose]: async () => {
      for (const pid of table.pids()) {
        if (table.environment(pid, stateDir)?.get("SLUICE_STATE_DIR") === stateDir) process.kill(pid, "SIGKILL");
      }
      for (const stop of stops) stop.abort();
      await systemClock.delay(20);
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export function isRunning(table: ProcessTable, pid: number): boolean {
  return isLive(table.stat(pid));
}

/** Waits for what another process does, at most `limitMs`. */
export async function until(condition: () => boolean, limitMs = 30_000): Promise<boolean> {
  const startMs = systemClock.monotonicMs();
  while (!condition() && systemClock.monotonicMs() - startMs < limitMs) await systemClock.delay(10);
  return condition();
}

export function fakeFfmpeg(...args: string[]): Launch {
  const program = join(import.meta.dirname, "../../../../test-server/programs/fake-ffmpeg.ts");
  return { file: process.execPath, args: [program, ...args], env: {} };
}

export function readTextIfAny(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
