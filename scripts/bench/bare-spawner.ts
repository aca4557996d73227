/** On each SIGUSR2: spawns the program as the agent would, with files for outputs, writes down when, and ends the one before. */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { awaitWallEdgeMs } from "./stamp-program.ts";

const program = process.env["PROGRAM"] ?? "";
const output = openSync(process.env["OUTPUT"] ?? "/dev/null", "a");
let previous: ChildProcess | undefined;

process.on("SIGUSR2", () => {
  previous?.kill("SIGKILL");
  const atMs = awaitWallEdgeMs();
  previous = spawn(program, [], { detached: true, stdio: ["ignore", output, output] });
  process.stdout.write(`${atMs}\n`);
});
process.stdout.write("ready\n");
setInterval(() => undefined, 60_000);
