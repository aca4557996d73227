import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import type { ExitStatus } from "./spawn.ts";
import { spawnError } from "./spawn-error.ts";

export interface PipedLaunch {
  readonly file: string;
  /** What the program sees as its own name. */
  readonly argv0: string;
  readonly args: readonly string[];
  /** All of it: nothing of this process's own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** False: standard input is `/dev/null`. */
  readonly hasInput: boolean;
}

/** A child in its own session whose standard streams are pipes of bytes. Whoever starts it reads both outputs. */
export interface PipedChild {
  readonly pid: number;
  readonly input: Writable | undefined;
  readonly output: Readable;
  readonly errors: Readable;
  /** Settles on the kernel's word, not when pipes close. Never rejects. */
  readonly exited: Promise<ExitStatus>;
}

/** Rejects with `not-found` (also where it is not executable), `exhausted` or `internal` when it cannot be started. */
export async function spawnPiped(launch: PipedLaunch): Promise<PipedChild> {
  const child = execa(launch.file, [...launch.args], {
    argv0: launch.argv0,
    env: { ...launch.env },
    extendEnv: false,
    cwd: launch.cwd,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    encoding: "buffer",
    stdin: launch.hasInput ? "pipe" : "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.nodeChildProcess.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const { pid } = child;
  const { stdin, stdout, stderr } = child.nodeChildProcess;
  if (pid === undefined || stdout === null || stderr === null) throw spawnError(launch.file, await child);
  // Its result settles when all pipes have closed; here each pipe is watched by whoever has it.
  child.catch(() => undefined);
  return { pid, input: stdin ?? undefined, output: stdout, errors: stderr, exited };
}
