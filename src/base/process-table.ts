import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "./errors.ts";
import { DEAD_STATES, type ProcStat, parseProcStat } from "./proc-stat.ts";
import { readProcText } from "./proc-text.ts";
import { fromSystemError } from "./system-error.ts";

/**
 * A descriptor kept on `/proc/PID/stat`. It belongs to the process, not to its number: once that process is gone it reads
 * nothing, even when the number has been given to another.
 */
export interface KeptProcess {
  readonly pid: number;
  /** `undefined` once the process is gone. A zombie still answers: see `isLive`. */
  stat(): ProcStat | undefined;
  /** The same as `isLive(stat())`, at a quarter of its cost. */
  isLive(): boolean;
  /** False only when it is gone. True for a zombie too, and for a stranger who was given its number. A tenth of `isLive`'s cost. */
  mayLive(): boolean;
  close(): void;
}

/** What the kernel shows of processes and of this boot. Reads are synchronous: procfs answers from memory in microseconds. */
export interface ProcessTable {
  /** `undefined` where the kernel's id is hidden (a sandbox without `/proc/sys`). */
  bootId(): string | undefined;
  /** Kernel boot time, wall clock. Moves by seconds when the clock is set. */
  bootTimeMs(): number | undefined;
  uptimeSeconds(): number | undefined;
  /** Of a process, or of this one: `pid:[4026531836]`. */
  pidNamespace(pid?: number): string | undefined;
  pageBytes(): number;
  pids(): readonly number[];
  /** `undefined` when there is no such process or it is not ours to look at. Throws `exhausted` without a free descriptor. */
  open(pid: number): KeptProcess | undefined;
  stat(pid: number): ProcStat | undefined;
  /**
   * The environment that the process was started with, when `containing` occurs in its first 64 KiB; else `undefined`.
   * Also `undefined` for a process that is gone, a zombie, or not ours to look at.
   */
  environment(pid: number, containing: string): ReadonlyMap<string, string> | undefined;
}

const BUFFER_BYTES = 65_536;
/** Number, name and state of any process fit in here, and nothing after them holds a parenthesis. */
const STAT_HEAD_BYTES = 64;
const DEFAULT_PAGE_BYTES = 4096;
/** `AT_PAGESZ` of getauxval(3). */
const AUXV_PAGE_SIZE = 6n;
/** Gone meanwhile, or another user's: in both cases not a process of ours. */
const NOT_OURS: ReadonlySet<string | undefined> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM", "ENOTDIR"]);

/** `root`: where procfs is mounted; a test may forge one. */
export function createProcessTable(root = "/proc"): ProcessTable {
  // One buffer for all reads: a sweep over hundreds of processes then allocates next to nothing.
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let pageBytes: number | undefined;

  const readStat = (fd: number): ProcStat | undefined => {
    try {
      return parseProcStat(buffer.toString("utf8", 0, readSync(fd, buffer, 0, 4096, 0)));
    } catch (thrown) {
      if (NOT_OURS.has(errnoOf(thrown))) return undefined;
      throw thrown;
    }
  };

  const readIsLive = (fd: number): boolean => {
    try {
      // Only what was read now: after it stand bytes of earlier readings.
      const head = buffer.subarray(0, readSync(fd, buffer, 0, STAT_HEAD_BYTES, 0));
      const close = head.lastIndexOf(") ");
      const state = close < 0 ? "" : String.fromCharCode(head[close + 2] ?? 0);
      return /[A-Za-z]/.test(state) && !DEAD_STATES.has(state);
    } catch (thrown) {
      if (NOT_OURS.has(errnoOf(thrown))) return false;
      throw thrown;
    }
  };

  const openFile = (pid: number, name: string): number | undefined => {
    if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
    const path = join(root, String(pid), name);
    try {
      return openSync(path, "r");
    } catch (thrown) {
      if (NOT_OURS.has(errnoOf(thrown))) return undefined;
      throw fromSystemError(thrown, `cannot open ${path}`);
    }
  };

  return {
    bootId: () => {
      const id = readProcText(join(root, "sys/kernel/random/boot_id"))?.trim();
      return id !== undefined && /^[0-9a-f-]{32,36}$/.test(id) ? id : undefined;
    },
    bootTimeMs: () => {
      const seconds = /^btime (\d+)$/m.exec(readProcText(join(root, "stat")) ?? "")?.[1];
      return seconds === undefined ? undefined : Number(seconds) * 1000;
    },
    uptimeSeconds: () => {
      const seconds = Number.parseFloat(readProcText(join(root, "uptime")) ?? "");
      return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
    },
    pidNamespace: (pid) => {
      try {
        return readlinkSync(join(root, String(pid ?? "self"), "ns/pid"));
      } catch {
        return undefined;
      }
    },
    pageBytes: () => {
      pageBytes ??= readPageBytes(join(root, "self/auxv"));
      return pageBytes;
    },
    pids: () => readdirSync(root).flatMap((name) => (/^[1-9]\d*$/.test(name) ? [Number(name)] : [])),
    open: (pid) => {
      const fd = openFile(pid, "stat");
      if (fd === undefined) return undefined;
      let isOpen = true;
      return {
        pid,
        stat: () => (isOpen ? readStat(fd) : undefined),
        isLive: () => isOpen && readIsLive(fd),
        mayLive: () => isOpen && isInUse(pid),
        close: () => {
          if (isOpen) closeSync(fd);
          isOpen = false;
        },
      };
    },
    stat: (pid) => {
      const fd = openFile(pid, "stat");
      if (fd === undefined) return undefined;
      try {
        return readStat(fd);
      } finally {
        closeSync(fd);
      }
    },
    environment: (pid, containing) => {
      const fd = openFile(pid, "environ");
      if (fd === undefined) return undefined;
      try {
        const bytes = buffer.subarray(0, readSync(fd, buffer, 0, BUFFER_BYTES, 0));
        return bytes.includes(containing) ? parseEnvironment(bytes.toString("utf8")) : undefined;
      } catch (thrown) {
        if (NOT_OURS.has(errnoOf(thrown))) return undefined;
        throw thrown;
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** Whether any process has this number. */
function isInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    return errnoOf(thrown) !== "ESRCH";
  }
}

/** `name=value` texts ended by NUL. The first of two equal names counts, as getenv(3) has it. */
function parseEnvironment(text: string): ReadonlyMap<string, string> {
  const environment = new Map<string, string>();
  for (const entry of text.split("\0")) {
    const equals = entry.indexOf("=");
    if (equals > 0 && !environment.has(entry.slice(0, equals))) {
      environment.set(entry.slice(0, equals), entry.slice(equals + 1));
    }
  }
  return environment;
}

function readPageBytes(auxvPath: string): number {
  try {
    const auxv = readFileSync(auxvPath);
    for (let offset = 0; offset + 16 <= auxv.length; offset += 16) {
      if (auxv.readBigUInt64LE(offset) === AUXV_PAGE_SIZE) return Number(auxv.readBigUInt64LE(offset + 8));
    }
  } catch {
    // A sandbox may hide it; the common size is then the best guess.
  }
  return DEFAULT_PAGE_BYTES;
}
