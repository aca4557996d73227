/** Takes the lock of a state directory, says `held` or `refused`, and holds it until it is killed. For tests. */
import { createMemoryLog } from "../../src/base/log.ts";
import { createProcessTable } from "../../src/base/process-table.ts";
import { acquireStateLock } from "../../src/base/state-lock.ts";

const [, , stateDir = ""] = process.argv;
try {
  await acquireStateLock(stateDir, {
    table: createProcessTable(),
    log: createMemoryLog(),
    pid: process.pid,
    nowIso: () => new Date().toISOString(),
  });
  process.stdout.write("held\n");
  setInterval(() => undefined, 60_000);
} catch (thrown) {
  process.stdout.write(`refused ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
}
