import { systemClock } from "../src/base/clock.ts";
import type { ExitStatus } from "../src/base/spawn.ts";
import { type LoadedPty, loadPty, startOnTerminal } from "../src/holder/terminal.ts";
import { MAIN_PROGRAM } from "./main-program.ts";

/** `sluice` as a person has it: on a terminal. */
export interface TerminalRun {
  type(text: string): void;
  resize(size: { readonly cols: number; readonly rows: number }): void;
  /** Everything that was shown. */
  shown(): string;
  onShown(hear: (bytes: Buffer) => void): void;
  readonly exited: Promise<ExitStatus>;
  kill(): void;
}

/** `undefined`: this machine's terminals cannot be had. */
export const pty: LoadedPty | undefined = loadPty({ info: () => undefined });

export function sluiceOnTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  size: { readonly cols: number; readonly rows: number },
  given: LoadedPty,
): TerminalRun {
  const run = startOnTerminal(
    {
      file: process.execPath,
      args: ["--no-warnings", MAIN_PROGRAM, ...args],
      env: { PATH: process.env["PATH"] ?? "", TERM: "xterm", ...env },
      cwd: "/",
      size,
    },
    { pty: given, clock: systemClock },
  );
  let shown = "";
  run.output.on("data", (bytes: Buffer) => {
    shown += bytes.toString();
  });
  // EIO: its program is gone.
  run.output.on("error", () => undefined);
  let isOver = false;
  void run.exited.then(() => {
    isOver = true;
  });
  return {
    type: (text) => void run.input?.write(text),
    resize: run.resize,
    shown: () => shown,
    onShown: (hear) => void run.output.on("data", hear),
    exited: run.exited,
    kill: () => {
      if (!isOver) process.kill(run.pid, "SIGKILL");
    },
  };
}
