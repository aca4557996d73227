import type { Readable, Writable } from "node:stream";
import type { ExitStatus } from "../base/spawn.ts";

/** A command that was begun, whichever way its input and output go. */
export interface RunningCommand {
  readonly pid: number;
  /** Absent: it reads end of file. */
  readonly input: Writable | undefined;
  readonly output: Readable;
  /** Absent on a terminal, where both are one. */
  readonly errors: Readable | undefined;
  /** Never rejects. */
  readonly exited: Promise<ExitStatus>;
  resize(size: TerminalSize): void;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}
