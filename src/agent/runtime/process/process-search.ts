import { isLive, type ProcStat } from "../../../base/proc-stat.ts";
import type { ListPids } from "../../../base/process-sweep.ts";
import type { ProcessTable } from "../../../base/process-table.ts";
import { MARK_VARIABLE, parseMark } from "./process-mark.ts";
import type { FoundProcess, ProcessMark } from "./process-runtime.ts";

export interface SearchOptions {
  readonly boxId: string;
  /** Real path. */
  readonly stateDir: string;
  readonly bootId: string;
}

/** A live process with a mark of this box and this state directory. */
export interface MarkedProcess {
  readonly stat: ProcStat;
  readonly mark: ProcessMark;
}

/** Processes looked at before other work gets its turn. */
const BATCH = 64;

export async function searchProcesses(
  options: SearchOptions,
  deps: { readonly table: ProcessTable; readonly listPids: ListPids },
): Promise<readonly FoundProcess[]> {
  const marked: MarkedProcess[] = [];
  for (const [index, pid] of (await deps.listPids()).entries()) {
    if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
    const environment = deps.table.environment(pid, MARK_VARIABLE);
    const found = environment === undefined ? undefined : parseMark(environment);
    if (found === undefined || found.mark.boxId !== options.boxId || found.stateDir !== options.stateDir) continue;
    const stat = deps.table.stat(pid);
    if (isLive(stat)) marked.push({ stat, mark: found.mark });
  }
  return firstOfEachLaunch(marked).map(({ stat, mark }) => ({
    identity: { pid: stat.pid, startTicks: stat.startTicks, bootId: options.bootId },
    mark,
    isLeader: isLeader(stat),
  }));
}

/**
 * One process for each launch: the session leader that we started, for its children inherit the mark. Where the leader
 * is gone, the oldest of those it left behind.
 */
export function firstOfEachLaunch(marked: readonly MarkedProcess[]): readonly MarkedProcess[] {
  const first = new Map<string, MarkedProcess>();
  for (const candidate of marked) {
    const other = first.get(candidate.mark.nonce);
    if (other === undefined || comesBefore(candidate.stat, other.stat)) first.set(candidate.mark.nonce, candidate);
  }
  return [...first.values()];
}

function comesBefore(one: ProcStat, other: ProcStat): boolean {
  if (isLeader(one) !== isLeader(other)) return isLeader(one);
  return one.startTicks !== other.startTicks ? one.startTicks < other.startTicks : one.pid < other.pid;
}

function isLeader(stat: ProcStat): boolean {
  return stat.session === stat.pid;
}
