import { spawn } from "node:child_process";

/** How a program ended, and what it wrote to both outputs in the order in which it came. */
export interface HeldEnd {
  /** 128 when a signal ended it, 127 when it could not be started. */
  readonly code: number;
  readonly output: string;
}

/** Runs a program without a terminal and holds its output back until its end: several can run at a time and be read. */
export function runHeld(file: string, args: readonly string[], options: { readonly cwd: string }): Promise<HeldEnd> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: options.cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        output += text;
      });
    }
    child.on("error", (error) => resolve({ code: 127, output: `${output}${file}: ${error.message}\n` }));
    child.on("close", (code, signal) => resolve({ code: signal === null ? (code ?? 1) : 128, output }));
  });
}
