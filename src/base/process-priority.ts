import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { errnoOf } from "./errors.ts";

/** Preferences of a process, not conditions: what the kernel refuses stays as it was. */
export interface ProcessPriority {
  /** Of the thread of that number, and of all that it makes from now on: best right after the launch. */
  setNice(pid: number, nice: number): void;
  /** Of -1000 (never) to 1000 (first). Raising needs no privilege; what is inherited may be given back. */
  setOomScore(pid: number, score: number): void;
}

/** Gone meanwhile, not allowed, or hidden by this kernel; Node says only ERR_SYSTEM_ERROR of setpriority(2). */
const REFUSED: ReadonlySet<string | undefined> = new Set(
  ["ENOENT", "ESRCH", "EACCES", "EPERM", "EROFS", "EINVAL"].concat("ERR_SYSTEM_ERROR"),
);

export const systemProcessPriority: ProcessPriority = {
  setNice: (pid, nice) => preferring(() => setPriority(pid, nice)),
  setOomScore: (pid, score) => preferring(() => writeFileSync(`/proc/${pid}/oom_score_adj`, String(score))),
};

function preferring(act: () => void): void {
  try {
    act();
  } catch (thrown) {
    if (!REFUSED.has(errnoOf(thrown))) throw thrown;
  }
}
