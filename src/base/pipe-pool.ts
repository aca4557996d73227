import { chownSync, closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
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
  /** The writing end blocks, as programs expect; the other one is Node's. `undefined`: there is none to be had. */
  take(owner: { readonly uid: number; readonly gid: number } | undefined): Promise<PipeEnds | undefined>;
  close(): void;
}

const BATCH = 12;
const LIMITS = { timeoutMs: 5000, maxOutputBytes: 1000 } as const;

/** `directory` is the pool's own: it is emptied. */
export function createPipePool(directory: string, { runProgram }: { readonly runProgram: RunProgram }): PipePool {
  let ready: string[] = [];
  let made = 0;
  let filling: Promise<void> | undefined;

  const fill = async () => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: BATCH }, () => join(directory, `pipe-${++made}`));
    const { code } = await runProgram("mkfifo", ["-m", "600", "--", ...paths], LIMITS);
    if (code === 0) ready.push(...paths);
  };
  const refill = () => {
    filling ??= fill()
      .catch(() => undefined)
      .finally(() => {
        filling = undefined;
      });
    return filling;
  };
  rmSync(directory, { recursive: true, force: true });
  void refill();

  return {
    take: async (owner) => {
      if (ready.length === 0) await refill();
      const path = ready.shift();
      if (ready.length < BATCH / 2) void refill();
      if (path === undefined) return undefined;
      if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
      return openEnds(path);
    },
    close: () => {
      ready = [];
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function openEnds(path: string): PipeEnds {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_NOFOLLOW } = constants;
  // While this one is open neither of the others waits for its counterpart.
  const both = openSync(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  try {
    const readFd = openSync(path, O_RDONLY | O_NONBLOCK);
    const writeFd = openSync(path, O_WRONLY);
    return { readFd, writeFd };
  } finally {
    closeSync(both);
    unlinkSync(path);
  }
}
