import { isLive, type ProcStat } from "../../../base/proc-stat.ts";
import type { ListPids } from "../../../base/process-sweep.ts";
import type { ProcessTable } from "../../../base/process-table.ts";
import type { ProcessMark } from "../run-handle.ts";
import { MARK_VARIABLE, parseMark } from "./process-mark.ts";
import type { FoundProcess } from "./process-runtime.ts";

export interface SearchOptions {
  /** Real path. */
  readonly stateDir: string;
  readonly bootId: string;
}

/** A live process with a mark of this state directory. */
export interface MarkedProcess {
  readonly stat: ProcStat;
  readonly mark: ProcessMark;
}

/** Processes looked at before other work gets its turn. */
const BATCH = 64;

/**
 * The state directory makes a process ours, because one agent at a time holds it: a box that was given another id keeps
 * its streams. An equal path in another PID namespace is another directory.
 */
export async function searchProcesses(
  options: SearchOptions,
  deps: {
    readonly table: ProcessTable;
    readonly listPids: ListPids;
    /** Numbers that need no look. */
    readonly except?: ReadonlySet<number> | undefined;
  },
): Promise<readonly FoundProcess[]> {
  const marked: MarkedProcess[] = [];
  const ownNamespace = deps.table.pidNamespace();
  for (const [index, pid] of (await deps.listPids()).entries()) {
    if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
    if (deps.except?.has(pid)) continue;
    const environment = deps.table.environment(pid, MARK_VARIABLE);
    const found = environment === undefined ? undefined : parseMark(environment);
    if (found?.stateDir !== options.stateDir || deps.table.pidNamespace(pid) !== ownNamespace) continue;
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
