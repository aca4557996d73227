import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { parseTcpTable, type TcpSocket } from "./tcp-table.ts";

/** The TCP sockets of processes, from the kernel. */
export interface ProcessSockets {
  /** By PID; a process that cannot be looked into is absent, one without sockets has an empty list. */
  read(pids: readonly number[]): ReadonlyMap<number, readonly TcpSocket[]>;
}

/** A process's descriptors change seldom: they are listed anew after so many readings, or when a known socket is gone. */
const RELIST_AFTER = 10;

const NONE: ReadonlyMap<number, TcpSocket> = new Map();

interface Holding {
  readonly namespace: string;
  readonly inodes: readonly number[];
  age: number;
  /** At least one of its sockets was not among the IPv4 ones when they were listed. */
  needsV6: boolean;
  /** How many of the inodes were TCP sockets at the first reading; others are of other protocols. */
  tcpCount: number | undefined;
}

/**
 * `/proc/PID/net/tcp` lists a whole network namespace: it is read once for all processes in it, and matched by the inodes
 * of their descriptors. Costs some microseconds a process, and for each table the walk over the kernel's hash of sockets (5 ms on a machine with 24 GiB). `root`: where procfs is mounted.
 */
export function createProcessSockets(root = "/proc"): ProcessSockets {
  let known = new Map<number, Holding>();

  const list = (pid: number): Holding | undefined => {
    try {
      const directory = join(root, String(pid), "fd");
      const inodes = readdirSync(directory).flatMap((name) => socketInode(join(directory, name)));
      // Not all in the same reading, though all began together.
      const age = known.has(pid) ? 0 : pid % 5;
      return {
        namespace: readlinkSync(join(root, String(pid), "ns/net")),
        inodes,
        age,
        needsV6: true,
        tcpCount: undefined,
      };
    } catch {
      return undefined;
    }
  };

  const readTable = (pid: number, name: string, wanted: ReadonlySet<number>): ReadonlyMap<number, TcpSocket> => {
    return parseTcpTable(readText(join(root, String(pid), "net", name)), wanted);
  };

  return {
    read: (pids) => {
      const holdings = new Map<number, Holding>();
      for (const pid of pids) {
        const cached = known.get(pid);
        const holding = cached !== undefined && ++cached.age < RELIST_AFTER ? cached : list(pid);
        if (holding !== undefined) holdings.set(pid, holding);
      }
      const tables = new Map<string, ReadonlyMap<number, TcpSocket>>();
      for (const [pid, { namespace }] of holdings) {
        if (tables.has(namespace)) continue;
        const sharing = [...holdings.values()].filter((holding) => holding.namespace === namespace);
        const v4 = readTable(pid, "tcp", new Set(sharing.flatMap(({ inodes }) => inodes)));
        const others = sharing.flatMap((holding) => (holding.needsV6 ? holding.inodes : []));
        const missing = new Set(others.filter((inode) => !v4.has(inode)));
        const sixes = missing.size === 0 ? NONE : readTable(pid, "tcp6", missing);
        for (const holding of sharing) holding.needsV6 &&= holding.inodes.some((inode) => sixes.has(inode));
        tables.set(namespace, new Map([...v4, ...sixes]));
      }
      const found = new Map<number, readonly TcpSocket[]>();
      for (const [pid, holding] of holdings) {
        const sockets = holding.inodes.flatMap((inode) => tables.get(holding.namespace)?.get(inode) ?? []);
        // A socket has gone: look again next time. None was there yet: look again soon.
        if (sockets.length < (holding.tcpCount ?? 0)) holding.age = RELIST_AFTER;
        else if (sockets.length === 0) holding.age += 2;
        holding.tcpCount ??= sockets.length;
        found.set(pid, sockets);
      }
      known = holdings;
      return found;
    },
  };
}

function socketInode(path: string): readonly number[] {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1];
    return inode === undefined ? [] : [Number(inode)];
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
