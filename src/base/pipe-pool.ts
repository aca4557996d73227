import { chownSync, closeSync, constants, mkdirSync, openSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "./errors.ts";
import type { RunProgram } from "./spawn.ts";

/** Both ends of a pipe that nobody else has a name for. Whoever gets it closes them. */
export interface PipeEnds {
  readonly readFd: number;
  readonly writeFd: number;
}

/**
 * Pipes for the outputs of a child. Node gives it sockets, and those cannot be opened by name: `echo x >/dev/stderr` fails. Real ones
 * come from `mkfifo`, made some time before they are needed, and lose their name when they are taken. They do not do for an input: who
 * opens one by its name after its writer has gone waits for ever.
 */
export interface PipePool {
  /** Makes the first ones, so that nobody waits for them. Whoever calls it owns the directory. */
  prepare(): void;
  /** The writing end blocks, as programs expect; the other one is Node's. `undefined`: there is none to be had. Never rejects. */
  take(owner: { readonly uid: number; readonly gid: number } | undefined): Promise<PipeEnds | undefined>;
  /** Resolves when nothing of it is left in the directory and nothing comes any more. What was taken is not touched. */
  close(): Promise<void>;
}

/** Made at a time; more are made when so few are left. A process each time: seldom, while many commands follow each other. */
const BATCH = 48;
const FEW = 12;
const LIMITS = { timeoutMs: 5000, maxOutputBytes: 1000 } as const;

/** `directory` is the pool's own: it is emptied with the first pipes, and not before. */
export function createPipePool(directory: string, { runProgram }: { readonly runProgram: RunProgram }): PipePool {
  const stop = new AbortController();
  let ready: string[] = [];
  let made = 0;
  let filling: Promise<boolean> | undefined;

  const fill = async () => {
    if (made === 0) rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: BATCH }, () => join(directory, `pipe-${++made}`));
    const { code } = await runProgram("mkfifo", ["-m", "600", "--", ...paths], { ...LIMITS, signal: stop.signal });
    if (code === 0) ready.push(...paths);
    return code === 0;
  };
  /** False: there are no more. */
  const refill = () => {
    filling ??= fill()
      .catch(() => false)
      .finally(() => {
        filling = undefined;
      });
    return filling;
  };

  return {
    prepare: () => void refill(),
    take: async (owner) => {
      while (!stop.signal.aborted) {
        const path = ready.shift();
        if (path === undefined) {
          // Many may have waited for the same few.
          if (await refill()) continue;
          return undefined;
        }
        // After whoever waits for this one has begun its child.
        if (ready.length < FEW) {
          setImmediate(() => {
            if (!stop.signal.aborted && ready.length < FEW) void refill();
          });
        }
        try {
          if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
          return openEnds(path);
        } catch (thrown) {
          // Who tidies directories of sockets takes names away: the next ones are made anew.
          if (errnoOf(thrown) === "ENOENT") continue;
          rmSync(path, { force: true });
          return undefined;
        }
      }
      return undefined;
    },
    close: async () => {
      stop.abort();
      ready = [];
      await filling;
      // What cannot be removed now is when its next owner begins.
      if (made > 0) await rm(directory, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined);
    },
  };
}

/** Throws what the system says, and leaves nothing open then. */
function openEnds(path: string): PipeEnds {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_NOFOLLOW } = constants;
  // While this one is open neither of the others waits for its counterpart.
  const both = openSync(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  try {
    const readFd = openSync(path, O_RDONLY | O_NONBLOCK);
    try {
      return { readFd, writeFd: openSync(path, O_WRONLY) };
    } catch (thrown) {
      closeSync(readFd);
      throw thrown;
    }
  } finally {
    closeSync(both);
    rmSync(path, { force: true });
  }
}
