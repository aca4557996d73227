import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { readProcText } from "./proc-text.ts";
import { socketInodes } from "./socket-inodes.ts";
import { readTcpTrouble } from "./tcp-counters.ts";
import { parseTcpTable, type TcpSocket } from "./tcp-table.ts";

/** The TCP sockets of processes, from the kernel. */
export interface ProcessSockets {
  /**
   * Whether anything had to be sent again, or a peer's shut window was probed, since the call before, by any connection that
   * shares a network namespace with these processes. Costs a thirtieth of a reading. True at first, and where the kernel does
   * not count.
   */
  hasTrouble(pids: readonly number[]): boolean;
  /** By PID; a process that cannot be looked into is absent, one without sockets has an empty list. */
  read(pids: readonly number[]): ReadonlyMap<number, readonly TcpSocket[]>;
}

/**
 * A process's descriptors change seldom: they are listed anew after so many readings in a row, after a pause, or when a known
 * socket is gone.
 */
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
  let namespaceOf = new Map<number, string>();
  let troubles = new Map<string, number | undefined>();
  let looksSinceReading = 0;

  const list = (pid: number): Holding | undefined => {
    const inodes = socketInodes(pid, root);
    if (inodes === undefined) return undefined;
    // Not all in the same reading, though all began together.
    const age = known.has(pid) ? 0 : pid % 5;
    return { namespace: networkNamespace(root, pid), inodes, age, needsV6: true, tcpCount: undefined };
  };

  const readTable = (pid: number, name: string, wanted: ReadonlySet<number>): ReadonlyMap<number, TcpSocket> => {
    return parseTcpTable(readProcText(join(root, String(pid), "net", name)) ?? "", wanted);
  };

  const namespacesOf = (pids: readonly number[]): ReadonlyMap<string, number> => {
    namespaceOf = new Map(pids.map((pid) => [pid, namespaceOf.get(pid) ?? networkNamespace(root, pid)]));
    return new Map([...namespaceOf].map(([pid, namespace]) => [namespace, pid]));
  };

  return {
    hasTrouble: (pids) => {
      looksSinceReading += 1;
      const now = new Map(
        [...namespacesOf(pids)].map(([name, pid]) => [name, readTcpTrouble(join(root, String(pid), "net"))]),
      );
      const isCalm = [...now].every(([name, count]) => count !== undefined && count === troubles.get(name));
      troubles = now;
      return !isCalm;
    },
    read: (pids) => {
      if (looksSinceReading > 1) known = new Map();
      looksSinceReading = 0;
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

/** Empty for a process that is gone: what follows will find nothing of it either. */
function networkNamespace(root: string, pid: number): string {
  try {
    return readlinkSync(join(root, String(pid), "ns/net"));
  } catch {
    return "";
  }
}
