import { readlinkSync } from "node:fs";
import type { Writable } from "node:stream";
import type { Console, ForwardedSignal, RawTerminal, Sink } from "./console.ts";
import { openStatusDescriptor } from "./status-descriptor.ts";

const DEFAULT_SIZE = { cols: 80, rows: 24 };

export interface ConsoleDeps {
  readonly process: Pick<NodeJS.Process, "stdin" | "stdout" | "stderr" | "once" | "removeListener">;
  /** TERM. */
  readonly terminalType: string | undefined;
  /** Runs a program that takes milliseconds, with nothing else going on meanwhile; absent where there is no terminal. */
  readonly runAtOnce: ((file: string, args: readonly string[]) => boolean) | undefined;
  readonly takeSignals: (listener: (name: ForwardedSignal) => void) => () => void;
}

export function createProcessConsole(deps: ConsoleDeps): Console {
  const { process, takeSignals } = deps;
  const { stdin, stdout, stderr } = process;
  return {
    stdin,
    isInputTerminal: stdin.isTTY === true,
    stdout: toSink(stdout),
    stderr: toSink(stderr),
    terminal: stdin.isTTY === true && stdout.isTTY === true ? createTerminal(deps) : undefined,
    isErrorTerminal: stderr.isTTY === true,
    takeSignals,
    openStatusDescriptor,
  };
}

function createTerminal({ process, runAtOnce, terminalType = "xterm-256color" }: ConsoleDeps): RawTerminal {
  const { stdin, stdout } = process;
  const size = () => ({ cols: stdout.columns || DEFAULT_SIZE.cols, rows: stdout.rows || DEFAULT_SIZE.rows });
  return {
    type: terminalType,
    size,
    onResize: (listener) => {
      const tell = () => listener(size());
      stdout.on("resize", tell);
      return () => void stdout.off("resize", tell);
    },
    makeRaw: () => {
      const restore = () => {
        process.removeListener("exit", restore);
        if (!stdin.destroyed) stdin.setRawMode(false);
      };
      // However this process ends, short of a SIGKILL: a shell behind a raw terminal cannot be used.
      process.once("exit", restore);
      stdin.setRawMode(true);
      // Node leaves the terminal turning each LF into CR LF: what programs on the box draw would come apart. The restored mode has it again.
      runAtOnce?.("stty", ["-F", readlinkSync("/proc/self/fd/0"), "-opost"]);
      return restore;
    },
  };
}

/** Waits until the system has each piece: what a process still holds when it ends reaches nobody, however slowly its reader reads. */
export function toSink(stream: Writable): Sink {
  let isGone = false;
  const waiting = new Set<() => void>();
  const leave = () => {
    isGone = true;
    for (const resolve of waiting) resolve();
  };
  stream.on("error", leave);
  stream.on("close", leave);
  return {
    write: async (bytes) => {
      if (isGone || stream.destroyed) return false;
      await new Promise<void>((resolve) => {
        waiting.add(resolve);
        stream.write(bytes, () => {
          waiting.delete(resolve);
          resolve();
        });
      });
      return !isGone;
    },
  };
}
