import psList from "ps-list";
import type { Clock, Timer } from "./clock.ts";
import { errnoOf, messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { ProcessTable } from "./process-table.ts";

/** The numbers of all processes that can be seen. Only numbers: what they are is for the reader of `/proc` to prove. */
export type ListPids = () => Promise<readonly number[]>;

export interface PidListerDeps {
  readonly table: Pick<ProcessTable, "pids">;
  readonly clock: Clock;
  readonly log: Pick<Log, "info">;
  /** ps-list unless a test says otherwise. */
  readonly listProcesses?: () => Promise<readonly { readonly pid: number }[]>;
}

/** `ps` reads every command line, and hangs with a process whose memory is locked. */
const PS_LIMIT_MS = 3000;

/** Asks `ps`; where there is none, or it does not answer in time, reads the table itself and says so once. */
export function createPidLister(deps: PidListerDeps): ListPids {
  const listProcesses = deps.listProcesses ?? (() => psList());
  let hasPs = true;

  return async () => {
    if (!hasPs) return deps.table.pids();
    let timer: Timer | undefined;
    try {
      const late = new Promise<"late">((resolve) => {
        timer = deps.clock.timer(PS_LIMIT_MS, () => resolve("late"));
      });
      const found = await Promise.race([listProcesses(), late]);
      if (found !== "late" && found.length > 0) return found.map(({ pid }) => pid);
      hasPs = false;
      deps.log.info(`ps gave no answer in ${PS_LIMIT_MS / 1000} s; reading /proc instead`);
    } catch (thrown) {
      hasPs = false;
      const reason = errnoOf(thrown) === "ENOENT" ? "there is no ps here" : messageOf(thrown);
      deps.log.info(`ps could not list the processes (${reason}); reading /proc instead`);
    } finally {
      timer?.clear();
    }
    return deps.table.pids();
  };
}
