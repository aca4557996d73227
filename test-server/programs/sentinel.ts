/**
 * An innocent process: it does nothing, and appends the name of every signal it is sent to the file of its first argument,
 * one a line. It says `ready` once it would notice.
 */
import { appendFileSync } from "node:fs";
import { constants } from "node:os";

const [, , record = ""] = process.argv;
const UNCATCHABLE = new Set<string>(["SIGKILL", "SIGSTOP"]);
/** Node takes these for itself, or they only tell that the terminal changed. */
const RESERVED = new Set<string>(["SIGUSR1", "SIGCHLD", "SIGWINCH", "SIGPROF"]);

for (const name of Object.keys(constants.signals)) {
  if (UNCATCHABLE.has(name) || RESERVED.has(name)) continue;
  try {
    process.on(name, () => appendFileSync(record, `${name}\n`));
  } catch {
    // Not to be caught on this system.
  }
}
setInterval(() => undefined, 60_000);
process.stdout.write("ready\n");
