import type { ChildProcess } from "node:child_process";
import { AppError } from "../../../src/base/errors.ts";
import type { Lab } from "../lab.ts";

/** A program that runs on, and what it says. */
export interface Watched extends AsyncDisposable {
  readonly pid: number;
  /** Resolves with what matched in its output. Rejects when it ends before. */
  says(pattern: RegExp, lab: Lab): Promise<readonly string[]>;
  output(): string;
  /** With SIGKILL, to its end. */
  kill(): Promise<void>;
}

const STOP_MS = 5000;
const KEEP_CHARACTERS = 100_000;

export function watchProgram(child: ChildProcess): Watched {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      output = (output + text).slice(-KEEP_CHARACTERS);
    });
  }
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const exited = new Promise<void>((done) => child.once("exit", () => done()));
  return {
    pid: child.pid ?? -1,
    output: () => output,
    says: async (pattern, lab) => {
      let found: readonly string[] | null = null;
      await lab.until(
        () => {
          found = pattern.exec(output);
          if (found === null && isOver()) {
            throw new AppError("unavailable", `${child.spawnargs.slice(0, 6).join(" ")} ended:\n${output}`);
          }
          return found !== null;
        },
        `${child.spawnargs.slice(0, 6).join(" ")} says ${pattern}`,
      );
      return found ?? [];
    },
    kill: async () => {
      if (!isOver()) child.kill("SIGKILL");
      await exited;
    },
    [Symbol.asyncDispose]: async () => {
      if (isOver()) return;
      child.kill("SIGTERM");
      const limit = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await exited;
      clearTimeout(limit);
    },
  };
}
