import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
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
 * By Node itself: each command on a box waits for this, and a library that does more costs as much again as the kernel's part.
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
  const child = spawn(launch.file, [...launch.args], {
    argv0: launch.argv0,
    env: { ...launch.env },
    cwd: launch.cwd,
    detached: true,
    stdio: [launch.hasInput ? "pipe" : "ignore", pipes.output?.writeFd ?? "pipe", pipes.errors?.writeFd ?? "pipe"],
  });
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const { pid, stdin, stdout, stderr } = child;
  if (pid === undefined) {
    const [cause] = await once(child, "error");
    throw spawnError(launch.file, { cause });
  }
  // Of a signal that could not be sent: nobody sends one through this.
  child.on("error", () => undefined);
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
