/** The fields of `/proc/PID/stat` that decide something (proc_pid_stat(5)). */
export interface ProcStat {
  readonly pid: number;
  /** At most 15 bytes; whatever the program chose, spaces and parentheses included. Never a proof of anything. */
  readonly comm: string;
  /** `R S D T t Z X I`. */
  readonly state: string;
  readonly parentPid: number;
  readonly processGroup: number;
  readonly session: number;
  /** User and system time, clock ticks. */
  readonly cpuTicks: number;
  /** Start, clock ticks after boot. */
  readonly startTicks: number;
  readonly rssPages: number;
}

/** Where the fields after the command name stand; the first of them is the state (field 3 of the manual). */
const INDEX = {
  state: 0,
  parentPid: 1,
  processGroup: 2,
  session: 3,
  userTicks: 11,
  systemTicks: 12,
  start: 19,
  rss: 21,
};

/** `undefined` for anything that the kernel would not write. */
export function parseProcStat(text: string): ProcStat | undefined {
  // The name may hold `) (`: it ends at the last parenthesis, because all that follows is numbers.
  const open = text.indexOf(" (");
  const close = text.lastIndexOf(") ");
  if (open <= 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(" ");
  const number = (index: number) => Number.parseInt(fields[index] ?? "", 10);
  const stat = {
    pid: Number(text.slice(0, open)),
    comm: text.slice(open + 2, close),
    state: fields[INDEX.state] ?? "",
    parentPid: number(INDEX.parentPid),
    processGroup: number(INDEX.processGroup),
    session: number(INDEX.session),
    cpuTicks: number(INDEX.userTicks) + number(INDEX.systemTicks),
    startTicks: number(INDEX.start),
    rssPages: number(INDEX.rss),
  };
  const isWhole = Object.values(stat).every((value) => typeof value === "string" || Number.isInteger(value));
  return isWhole && /^[A-Za-z]$/.test(stat.state) && stat.pid > 0 ? stat : undefined;
}

/** States of a process that runs no more. */
export const DEAD_STATES: ReadonlySet<string> = new Set(["Z", "X", "x"]);

/** A zombie still has its number and its start ticks, but runs no more. */
export function isLive(stat: ProcStat | undefined): stat is ProcStat {
  return stat !== undefined && !DEAD_STATES.has(stat.state);
}
