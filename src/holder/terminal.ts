import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { Writable } from "node:stream";
import { ReadStream } from "node:tty";
import type { Clock } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import type { ExitStatus } from "../base/spawn.ts";
import type { RunningCommand, TerminalSize } from "./running-command.ts";

/**
 * The native part of @lydell/node-pty. Its JavaScript is not used: that gives up what a terminal still holds 200 ms after the exit
 * of its program, and spins while a program does not read.
 */
export interface LoadedPty {
  fork(
    file: string,
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    cols: number,
    rows: number,
    uid: number,
    gid: number,
    isUtf8: boolean,
    helperPath: string,
    onExit: (code: number, signal: number) => void,
  ): { readonly fd: number; readonly pid: number };
  resize(fd: number, cols: number, rows: number): void;
}

/** Once, at the start: what is on the disk may be another release's a day later. `undefined`: there is none for this machine. */
export function loadPty(log: { info(message: string): void }): LoadedPty | undefined {
  const require = createRequire(import.meta.url);
  const name = `node-pty-linux-${process.arch}`;
  // Beside a built program, in the sources' own packages.
  for (const place of [`../native/${name}.node`, `@lydell/${name}/pty.node`]) {
    try {
      const loaded: LoadedPty = require(place);
      if (typeof loaded.fork === "function") return loaded;
    } catch (thrown) {
      log.info(`No terminal by ${place}: ${messageOf(thrown).split("\n")[0] ?? ""}`);
    }
  }
  return undefined;
}

export interface TerminalLaunch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly size: TerminalSize;
}

const MAX_SIDE = 10_000;
const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** The terminal has its size before its program runs. */
export function startOnTerminal(
  launch: TerminalLaunch,
  { pty, clock }: { readonly pty: LoadedPty; readonly clock: Clock },
): RunningCommand {
  const exited = Promise.withResolvers<ExitStatus>();
  const { cols, rows } = bounded(launch.size);
  const env = Object.entries(launch.env).map(([name, value]) => `${name}=${value}`);
  let isOpen = true;
  let started: { readonly fd: number; readonly pid: number };
  try {
    started = pty.fork(launch.file, launch.args, env, launch.cwd, cols, rows, -1, -1, true, "", (code, signal) => {
      const name = SIGNAL_NAMES.get(signal);
      exited.resolve(
        signal === 0 || name === undefined ? { code, signal: null } : { code: null, signal: name as NodeJS.Signals },
      );
    });
  } catch (cause) {
    throw new AppError("exhausted", `cannot start ${launch.file} on a terminal: ${messageOf(cause)}`, { cause });
  }
  const terminal = new ReadStream(started.fd);
  terminal.on("close", () => {
    isOpen = false;
  });
  return {
    pid: started.pid,
    input: inputOf({ fd: started.fd, isOpen: () => isOpen && !terminal.destroyed, clock }),
    output: terminal,
    errors: undefined,
    exited: exited.promise,
    resize: (size) => {
      const next = bounded(size);
      if (isOpen) pty.resize(started.fd, next.cols, next.rows);
    },
  };
}

const END_OF_FILE = Buffer.from([4]);
/** What a terminal holds of what nobody has read. */
const PIECE_BYTES = 4096;
const RETRY_MS = { first: 2, most: 50 } as const;

interface TerminalInput {
  /** Of the master's side; it does not block. */
  readonly fd: number;
  readonly isOpen: () => boolean;
  readonly clock: Clock;
}

/**
 * What is typed. The kernel calls a terminal writable while its program does not read and nothing more fits: whoever asks it by `poll`
 * spins. So it is tried, and tried again later and later. A terminal has no half-close: its end of file is a character.
 */
function inputOf({ fd, isOpen, clock }: TerminalInput): Writable {
  const put = (bytes: Uint8Array, done: (error?: Error | null) => void, from = 0, waitMs: number = RETRY_MS.first) => {
    let at = from;
    let nextMs = waitMs;
    while (at < bytes.length) {
      // What nobody can read any more goes nowhere; how the command ended is told elsewhere.
      if (!isOpen()) break;
      try {
        at += writeSync(fd, bytes, at, Math.min(bytes.length - at, PIECE_BYTES));
        nextMs = RETRY_MS.first;
      } catch (thrown) {
        const errno = errnoOf(thrown);
        if (errno === "EIO") break;
        if (errno !== "EAGAIN") {
          done(thrown instanceof Error ? thrown : new AppError("internal", messageOf(thrown)));
          return;
        }
        clock.timer(nextMs, () => put(bytes, done, at, Math.min(nextMs * 2, RETRY_MS.most)));
        return;
      }
    }
    done();
  };
  return new Writable({
    write: (bytes: Buffer, _encoding, done) => put(bytes, done),
    final: (done) => put(END_OF_FILE, done),
  });
}

function bounded({ cols, rows }: TerminalSize): TerminalSize {
  const side = (count: number, fallback: number) => (count > 0 ? Math.min(count, MAX_SIDE) : fallback);
  return { cols: side(cols, 80), rows: side(rows, 24) };
}
