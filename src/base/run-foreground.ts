import { execa } from "execa";
import { AppError, errnoOf, messageOf } from "./errors.ts";
import type { ExitStatus } from "./spawn.ts";

export interface ForegroundOptions {
  /** Set beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Sends SIGTERM. */
  readonly signal: AbortSignal;
}

/**
 * Runs a program on this process's own standard streams and in its process group, with its whole environment: what a person's shell
 * would do. Rejects with `not-found`. A failing program is a result, not an error.
 */
export async function runForeground(
  file: string,
  args: readonly string[],
  { env, signal }: ForegroundOptions,
): Promise<ExitStatus> {
  const child = execa(file, [...args], { env, stdio: "inherit", reject: false, buffer: false, cleanup: true });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.nodeChildProcess.once("exit", (code, name) => resolve({ code, signal: name }));
  });
  if (child.pid === undefined) {
    const { cause } = await child;
    throw new AppError("not-found", `cannot start ${file} (${errnoOf(cause) ?? messageOf(cause)})`, { cause });
  }
  const stop = () => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const status = await exited;
  signal.removeEventListener("abort", stop);
  return status;
}
