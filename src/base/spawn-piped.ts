import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import type { PipeEnds, PipePool } from "./pipe-pool.ts";
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
  /** Where the program will be another user's: so that it may open its own pipes by name. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** A child in its own session whose standard streams are pipes of bytes (its input: a socket). Whoever starts it reads both outputs. */
export interface PipedChild {
  readonly pid: number;
  readonly input: Writable | undefined;
  readonly output: Readable;
  readonly errors: Readable;
  /** Settles on the kernel's word, not when pipes close. Never rejects. */
  readonly exited: Promise<ExitStatus>;
}

/**
 * Rejects with `not-found` (also where it is not executable), `exhausted` or `internal` when it cannot be started. Without pipes
 * in the pool the child gets Node's sockets instead.
 */
export async function spawnPiped(launch: PipedLaunch, pool: PipePool): Promise<PipedChild> {
  const [output, errors] = await Promise.all([pool.take(launch.owner), pool.take(launch.owner)]);
  try {
    return await spawnWith(launch, { output, errors });
  } catch (thrown) {
    for (const ends of [output, errors]) if (ends !== undefined) closeSync(ends.readFd);
    throw thrown;
  } finally {
    // The child has copies.
    for (const ends of [output, errors]) if (ends !== undefined) closeSync(ends.writeFd);
  }
}

type Pipes = Readonly<Record<"output" | "errors", PipeEnds | undefined>>;

async function spawnWith(launch: PipedLaunch, pipes: Pipes): Promise<PipedChild> {
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
    stdout: toExeca(pipes.output?.writeFd),
    stderr: toExeca(pipes.errors?.writeFd),
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.nodeChildProcess.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const { pid } = child;
  if (pid === undefined) throw spawnError(launch.file, await child);
  // Its result settles when all pipes have closed; here each pipe is watched by whoever has it.
  child.catch(() => undefined);
  const { stdin, stdout, stderr } = child.nodeChildProcess;
  return {
    pid,
    input: stdin ?? undefined,
    output: stdout ?? readerOf(pipes.output?.readFd),
    errors: stderr ?? readerOf(pipes.errors?.readFd),
    exited,
  };
}

function readerOf(fd: number | undefined): Readable {
  return new Socket({ ...(fd === undefined ? {} : { fd }), readable: true, writable: false });
}

/** execa takes any descriptor, but its types count only to 9. */
function toExeca(fd: number | undefined): 3 | "pipe" {
  return fd === undefined ? "pipe" : (fd as 3);
}
