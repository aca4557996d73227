import { errnoOf } from "./errors.ts";

/** Whether it was sent: a process may be gone by now, or not be ours to signal. Of a group: its number, negative. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH" && errnoOf(thrown) !== "EPERM") throw thrown;
    return false;
  }
}
