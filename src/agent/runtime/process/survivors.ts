import type { Clock } from "../../../base/clock.ts";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { isLive } from "../../../base/proc-stat.ts";
import type { KeptProcess, ProcessTable } from "../../../base/process-table.ts";
import { sendSignal } from "../../../base/send-signal.ts";
import type { ProcessMark } from "../run-handle.ts";
import { MARK_VARIABLE, parseMark } from "./process-mark.ts";

/** Ends what a workload leaves behind when its first process is gone: a second publisher would keep the key busy. */
export interface Survivors {
  /** Every process that carries this launch's nonce gets SIGTERM, then SIGKILL. Bounded; never rejects. */
  end(mark: ProcessMark): Promise<void>;
}

export interface SurvivorsDeps {
  readonly table: ProcessTable;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Many workloads that end together share one look at the process table. */
const GATHER_MS = 20;
const TERM_GRACE_MS = 1000;
const KILL_GRACE_MS = 1000;
const LOOK_MS = 25;
/** Processes looked at before other work gets its turn. */
const BATCH = 16;

export function createSurvivors(options: { readonly stateDir: string }, deps: SurvivorsDeps): Survivors {
  let gathered: Map<string, ProcessMark> | undefined;
  let round: Promise<void> | undefined;

  const isOurs = (pid: number, nonces: ReadonlyMap<string, ProcessMark>): ProcessMark | undefined => {
    const environment = deps.table.environment(pid, MARK_VARIABLE);
    const found = environment === undefined ? undefined : parseMark(environment);
    return found?.stateDir === options.stateDir ? nonces.get(found.mark.nonce) : undefined;
  };

  const find = async (nonces: ReadonlyMap<string, ProcessMark>): Promise<KeptProcess[]> => {
    const found: KeptProcess[] = [];
    for (const [index, pid] of deps.table.pids().entries()) {
      if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
      if (isOurs(pid, nonces) === undefined) continue;
      // Opened first, proved after: the descriptor then belongs to the process that carries the mark.
      const kept = deps.table.open(pid);
      if (kept === undefined) continue;
      const mark = isOurs(pid, nonces);
      if (mark !== undefined && isLive(kept.stat())) {
        deps.log.warn(`Process ${pid} outlived its workload ${mark.workloadId}: stopping it`);
        found.push(kept);
      } else {
        kept.close();
      }
    }
    return found;
  };

  const endAll = async (nonces: ReadonlyMap<string, ProcessMark>): Promise<void> => {
    let left = await find(nonces);
    try {
      for (const [signal, graceMs] of [["SIGTERM", TERM_GRACE_MS] as const, ["SIGKILL", KILL_GRACE_MS] as const]) {
        for (const kept of left) send(kept, signal);
        for (let waitedMs = 0; left.length > 0 && waitedMs < graceMs; waitedMs += LOOK_MS) {
          await deps.clock.delay(LOOK_MS, deps.signal);
          left = left.filter((kept) => isLive(kept.stat()) || kept.close());
        }
      }
    } finally {
      for (const kept of left) kept.close();
    }
  };

  return {
    end: (mark) => {
      gathered ??= new Map();
      gathered.set(mark.nonce, mark);
      round ??= deps.clock
        .delay(GATHER_MS, deps.signal)
        .then(() => {
          const nonces = gathered ?? new Map();
          gathered = undefined;
          round = undefined;
          return endAll(nonces);
        })
        .catch((thrown: unknown) => {
          round = undefined;
          if (!deps.signal.aborted)
            deps.log.warn(`Could not look for what workloads left behind: ${messageOf(thrown)}`);
        });
      return round;
    },
  };
}

function send(kept: KeptProcess, signal: NodeJS.Signals): void {
  const stat = kept.stat();
  if (!isLive(stat)) return;
  if (sendSignal(kept.pid, signal) && stat.state === "T") sendSignal(kept.pid, "SIGCONT");
}
