import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { AppError } from "../../src/base/errors.ts";
import { createProcessTable, type ProcessTable } from "../../src/base/process-table.ts";

/**
 * A temporary directory and everything that was started for it. `HOME` is the proof: every process of the lab, and every
 * process that one of them starts, has the lab's directory there, and nothing else on the machine has.
 */
export interface Lab extends AsyncDisposable {
  readonly directory: string;
  readonly table: ProcessTable;
  readonly environment: Readonly<Record<string, string>>;
  /** The measurement is given up: whatever waits for something ends now. */
  readonly signal: AbortSignal;
  /** In a session of its own, so that Ctrl-C reaches it only through the lab. */
  spawn(file: string, args: readonly string[], options?: LabSpawnOptions): ChildProcess;
  /** Runs to its end; rejects with its output when it fails. Killed, and its end waited for, when the measurement is given up. */
  run(file: string, args: readonly string[], options?: LabSpawnOptions): Promise<string>;
  /** Polls until the predicate holds; `timeout` names `what`. */
  until(predicate: () => boolean | Promise<boolean>, what: string, limits?: UntilLimits): Promise<void>;
  /** Throws when the measurement is given up. */
  throwIfOver(): void;
  /** Rejects when the measurement is given up. */
  delay(ms: number): Promise<void>;
  /** Live processes of this lab. */
  pids(): readonly number[];
  /** Ends every process of this lab. */
  sweep(): Promise<void>;
}

export interface LabSpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio?: "ignore" | "pipe";
}

export interface UntilLimits {
  readonly timeoutMs?: number;
  readonly pollMs?: number;
}

const SWEEP_MS = 15_000;

export function createLab(signal: AbortSignal): Lab {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-bench-")));
  const table = createProcessTable();
  const environment = {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    HOME: directory,
    LC_ALL: "C",
  };
  const isOurs = (pid: number) =>
    pid !== process.pid && table.environment(pid, directory)?.get("HOME") === directory && isAlive(table, pid);

  const until: Lab["until"] = async (predicate, what, { timeoutMs = 30_000, pollMs = 10 } = {}) => {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    while (!(await predicate())) {
      signal.throwIfAborted();
      if (systemClock.monotonicMs() > endMs) throw new AppError("timeout", `not within ${timeoutMs} ms: ${what}`);
      await systemClock.delay(pollMs, signal);
    }
  };

  const start: Lab["spawn"] = (file, args, { env = {}, stdio = "ignore" } = {}) => {
    signal.throwIfAborted();
    return spawn(file, [...args], {
      cwd: directory,
      detached: true,
      stdio: ["ignore", stdio, stdio],
      env: { ...environment, ...env },
    });
  };

  const pids = () => table.pids().filter(isOurs);

  const sweep = async () => {
    const endMs = systemClock.monotonicMs() + SWEEP_MS;
    // Again and again: what is killed may have been about to start something.
    for (let found = pids(); found.length > 0; found = pids()) {
      for (const pid of found) killQuietly(pid, "SIGKILL");
      if (systemClock.monotonicMs() > endMs) {
        throw new AppError("timeout", `still running after SIGKILL: ${found.join(", ")}`);
      }
      await systemClock.delay(50);
    }
  };

  return {
    directory,
    table,
    environment,
    signal,
    spawn: start,
    run: (file, args, options) =>
      collect(start(file, args, { ...options, stdio: "pipe" }), `${file} ${args.join(" ")}`, signal),
    until,
    throwIfOver: () => signal.throwIfAborted(),
    delay: (ms) => systemClock.delay(ms, signal),
    pids,
    sweep,
    [Symbol.asyncDispose]: async () => {
      await sweep();
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone between the look and the signal.
  }
}

export function isAlive(table: ProcessTable, pid: number): boolean {
  const stat = table.stat(pid);
  return stat !== undefined && stat.state !== "Z" && stat.state !== "X";
}

function collect(child: ChildProcess, what: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const kill = () => void child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    for (const output of [child.stdout, child.stderr]) {
      output?.setEncoding("utf8");
      output?.on("data", (piece: string) => {
        text = (text + piece).slice(-100_000);
      });
    }
    child.once("error", reject);
    child.once("exit", (code) => {
      signal.removeEventListener("abort", kill);
      // A daemon that stays behind keeps the pipes open: its parent's end is what counts.
      if (code === 0) resolve(text);
      else if (signal.aborted) reject(signal.reason);
      else reject(new AppError("unavailable", `${what} ended with ${code}:\n${text}`));
    });
  });
}
