import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createProcessTable } from "../../src/base/process-table.ts";

const PROGRAM = resolve(import.meta.dirname, "../programs/sentinel.ts");

/** Processes that are nobody's business. Each would notice any signal. */
export interface Sentinels extends AsyncDisposable {
  readonly pids: readonly number[];
  /** What was done to them; undefined when nothing was. */
  harm(): string | undefined;
}

export interface SentinelOptions {
  readonly directory: string;
  /** Of the agent whose mark one of them carries in all but the state directory. */
  readonly boxId: string;
}

export async function startSentinels({ directory, boxId }: SentinelOptions): Promise<Sentinels> {
  const table = createProcessTable();
  const marked = {
    SLUICE_WORKLOAD: `${boxId}/cam-1/7/${"ab".repeat(16)}`,
    SLUICE_SPEC: "stream/1",
    SLUICE_STATE_DIR: "/nonexistent/sluice",
  };
  const guards: { readonly child: ChildProcess; readonly record: string }[] = [];
  for (const [index, environment] of [{}, marked].entries()) {
    const record = join(directory, `sentinel-${index}`);
    const child = spawn(process.execPath, ["--no-warnings", PROGRAM, record], {
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
      env: { PATH: process.env["PATH"], HOME: directory, ...environment },
    });
    guards.push({ child, record });
    await once(child.stdout, "data");
  }
  return {
    pids: guards.flatMap(({ child }) => child.pid ?? []),
    harm: () => {
      for (const { child, record } of guards) {
        const state = table.stat(child.pid ?? 0)?.state;
        if (child.exitCode !== null || child.signalCode !== null) {
          return `pid ${child.pid} ended (${child.exitCode ?? child.signalCode})`;
        }
        if (state === "T") return `pid ${child.pid} was stopped`;
        const signals = readIfAny(record);
        if (signals !== "") return `pid ${child.pid} was sent ${signals.trim().split("\n").join(", ")}`;
      }
      return undefined;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { child } of guards) {
        const over = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
        child.kill("SIGKILL");
        await over;
      }
    },
  };
}

function readIfAny(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
