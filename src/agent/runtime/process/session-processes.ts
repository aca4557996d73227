import type { Clock } from "../../../base/clock.ts";
import { isLive, type ProcStat } from "../../../base/proc-stat.ts";
import type { ProcessTable } from "../../../base/process-table.ts";
import { sendSignal } from "../../../base/send-signal.ts";
import type { ProcessMark, RunUsage } from "../run-handle.ts";
import { isSameLaunch, MARK_VARIABLE, parseMark } from "./process-mark.ts";

/** Everything that a session has started on this box: it descends from its first process, is in its session, or carries its mark. */
export interface SessionProcesses {
  /** Of the processes that live now; one reading of the table serves all who ask within a moment. */
  usage(leader: number): RunUsage | undefined;
  signal(mark: ProcessMark, leader: number, signal: "SIGSTOP" | "SIGCONT"): void;
  /** All of them. */
  areStopped(mark: ProcessMark, leader: number): boolean;
}

const MAX_AGE_MS = 500;
/** USER_HZ: 100 on every Linux that Sluice runs on. */
export const MS_A_TICK = 10;

export function createSessionProcesses(deps: {
  readonly clock: Clock;
  readonly table: ProcessTable;
}): SessionProcesses {
  const { clock, table } = deps;
  let last: { readonly atMs: number; readonly stats: readonly ProcStat[] } | undefined;

  const readAll = (): readonly ProcStat[] =>
    table
      .pids()
      .flatMap((pid) => table.stat(pid) ?? [])
      .filter(isLive);
  const readRecent = (): readonly ProcStat[] => {
    const nowMs = clock.monotonicMs();
    if (last === undefined || nowMs - last.atMs > MAX_AGE_MS) last = { atMs: nowMs, stats: readAll() };
    return last.stats;
  };
  const isMarked = (pid: number, mark: ProcessMark): boolean => {
    const environment = table.environment(pid, MARK_VARIABLE);
    const found = environment === undefined ? undefined : parseMark(environment);
    return found !== undefined && isSameLaunch(found.mark, mark);
  };
  const membersNow = (mark: ProcessMark, leader: number): readonly ProcStat[] => {
    const stats = readAll();
    const related = relatives(stats, leader);
    return stats.filter(({ pid }) => related.has(pid) || isMarked(pid, mark));
  };

  return {
    usage: (leader) => {
      const stats = readRecent();
      const related = relatives(stats, leader);
      if (!related.has(leader)) return undefined;
      const members = stats.filter(({ pid }) => related.has(pid));
      return {
        cpuMs: members.reduce((sum, { cpuTicks }) => sum + cpuTicks * MS_A_TICK, 0),
        memoryBytes: members.reduce((sum, { rssPages }) => sum + rssPages, 0) * table.pageBytes(),
      };
    },
    signal: (mark, leader, signal) => {
      const isWanted = ({ state }: ProcStat) => (state === "T") !== (signal === "SIGSTOP");
      for (const { pid, startTicks } of membersNow(mark, leader).filter(isWanted)) {
        // Its number is still its own: it was read this instant.
        if (table.stat(pid)?.startTicks === startTicks) sendSignal(pid, signal);
      }
    },
    areStopped: (mark, leader) => {
      const members = membersNow(mark, leader);
      return members.length > 0 && members.every(({ state }) => state === "T");
    },
  };
}

/** The leader, what is in its session, and what descends from any of these. Pure. */
export function relatives(
  stats: readonly Pick<ProcStat, "pid" | "parentPid" | "session">[],
  leader: number,
): ReadonlySet<number> {
  const children = new Map<number, number[]>();
  for (const { pid, parentPid } of stats) {
    const list = children.get(parentPid) ?? [];
    children.set(parentPid, list);
    list.push(pid);
  }
  const found = new Set<number>();
  const visit = (pid: number) => {
    if (found.has(pid)) return;
    found.add(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const { pid, session } of stats) if (pid === leader || session === leader) visit(pid);
  return found;
}
