import { readlinkSync } from "node:fs";
import { isLive, type ProcStat } from "../base/proc-stat.ts";
import { readProcText } from "../base/proc-text.ts";
import type { ProcessTable } from "../base/process-table.ts";
import { readWaitChannel } from "../base/wait-channel.ts";
import type { CommandWhy } from "../contract/remote/box-why.ts";
import { membersOf } from "./kill-ladder.ts";

/** What the processes of a command do, from the kernel. */
export interface CommandLook {
  /** Processor time of all of them, clock ticks. */
  readonly ticks: number;
  readonly processes: CommandProcess[];
}

export interface CommandProcess {
  readonly pid: number;
  readonly state: string;
  readonly ticks: number;
  readonly sleepsIn: string | undefined;
  /** It waits in a read of the command's standard input; `undefined`: the kernel does not tell. */
  readonly readsInput: boolean | undefined;
}

/** Calls that read one descriptor, which is their first argument. */
const READS: Readonly<Partial<Record<NodeJS.Architecture, ReadonlySet<number>>>> = {
  // read, readv, recvfrom, recvmsg
  x64: new Set([0, 19, 45, 47]),
  arm64: new Set([63, 65, 207, 212]),
};

export interface CommandLookDeps {
  readonly table: Pick<ProcessTable, "pids" | "stat">;
  /** Where procfs is mounted. */
  readonly root?: string;
  readonly arch?: NodeJS.Architecture;
}

export function lookAtCommand(leaderPid: number, deps: CommandLookDeps): CommandLook {
  const { table, root = "/proc", arch = process.arch } = deps;
  const input = linkOf(`${root}/${leaderPid}/fd/0`);
  const processes = membersOf(leaderPid, table).flatMap((pid): CommandProcess[] => {
    const stat: ProcStat | undefined = table.stat(pid);
    if (!isLive(stat)) return [];
    const call = readProcText(`${root}/${pid}/syscall`);
    return [
      {
        pid,
        state: stat.state,
        ticks: stat.cpuTicks,
        sleepsIn: stat.state === "R" ? undefined : readWaitChannel(pid),
        readsInput: isRead(call, { arch, input, linkOfFd: (fd) => linkOf(`${root}/${pid}/fd/${fd}`) }),
      },
    ];
  });
  return { processes, ticks: processes.reduce((sum, { ticks }) => sum + ticks, 0) };
}

/**
 * `/proc/PID/syscall`: number and arguments of the call that a process waits in, or `running`. Descriptors are compared by what they
 * lead to: what reads in a pipeline reads another input. Pure but for `linkOfFd`.
 */
export function isRead(
  text: string | undefined,
  facts: {
    readonly arch: NodeJS.Architecture;
    /** What the command's own standard input leads to. */
    readonly input: string | undefined;
    readonly linkOfFd: (fd: number) => string | undefined;
  },
): boolean | undefined {
  const reads = READS[facts.arch];
  if (text === undefined || reads === undefined || facts.input === undefined) return undefined;
  if (text.startsWith("running")) return false;
  const [number = "", fd = ""] = text.trim().split(" ");
  if (!/^-?\d+$/.test(number)) return undefined;
  return reads.has(Number(number)) && facts.linkOfFd(Number.parseInt(fd, 16)) === facts.input;
}

const STATES: Readonly<Record<string, CommandWhy["state"]>> = {
  R: "runs",
  S: "sleeps",
  I: "sleeps",
  D: "uninterruptible",
  T: "stopped",
  t: "stopped",
};
/** What tells most of a command comes first. */
const ORDER: readonly CommandWhy["state"][] = ["runs", "uninterruptible", "stopped", "sleeps"];
/** Of the kernel's figures for processes, on every architecture (`USER_HZ`). */
const TICKS_PER_SECOND = 100;

/** Pure. From two looks, `tookMs` apart. */
export function commandWhy(
  before: CommandLook,
  after: CommandLook,
  facts: Pick<CommandWhy, "pid" | "hasExited" | "isInputOpen" | "inputBytes"> & { readonly tookMs: number },
): CommandWhy {
  const { tookMs, ...known } = facts;
  const { processes } = after;
  const shown = [...processes].sort((one, other) => rankOf(one) - rankOf(other))[0];
  const told = processes.map(({ readsInput }) => readsInput);
  const readsInput = told.includes(true) ? true : told.length === 0 || told.includes(undefined) ? undefined : false;
  const cpus = ((after.ticks - before.ticks) / TICKS_PER_SECOND / tookMs) * 1000;
  return {
    ...known,
    processes: processes.length,
    state: shown === undefined ? "gone" : (STATES[shown.state] ?? "sleeps"),
    cpus: Math.round(Math.max(0, cpus) * 100) / 100,
    ...(shown?.sleepsIn === undefined ? {} : { sleepsIn: shown.sleepsIn.slice(0, 64) }),
    ...(readsInput === undefined ? {} : { readsInput }),
  };
}

function rankOf({ state }: CommandProcess): number {
  return ORDER.indexOf(STATES[state] ?? "sleeps");
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
