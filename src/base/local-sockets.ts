import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readProcText } from "./proc-text.ts";
import { socketInodes } from "./socket-inodes.ts";
import { type LocalSocket, parseLocalSockets } from "./tcp-table.ts";

export interface LocalSocketsOptions {
  /** Where procfs is mounted. */
  readonly root?: string;
  /** Both unless given. */
  readonly families?: readonly ("tcp" | "tcp6")[];
}

/** All TCP sockets in the network namespace of a process, or of this one. Empty where they cannot be read. */
export function readLocalSockets(
  pid: number | "self" = "self",
  { root = "/proc", families = ["tcp", "tcp6"] }: LocalSocketsOptions = {},
): readonly LocalSocket[] {
  const directory = join(root, String(pid), "net");
  return families.flatMap((table) => parseLocalSockets(readProcText(join(directory, table)) ?? ""));
}

/** The same of another process's network; undefined where that cannot be seen: the process is gone, or runs where none is seen from here. */
export function readSocketsOf(pid: number, root = "/proc"): readonly LocalSocket[] | undefined {
  const table = readProcText(join(root, String(pid), "net/tcp"));
  if (table === undefined) return undefined;
  return [...parseLocalSockets(table), ...readLocalSockets(pid, { root, families: ["tcp6"] })];
}

/** UDP datagrams that were delivered to sockets in the network namespace of a process; undefined where that cannot be seen. */
export function readDatagramsOf(pid: number, root = "/proc"): number | undefined {
  const [names, values] = (readProcText(join(root, String(pid), "net/snmp")) ?? "")
    .split("\n")
    .filter((line) => line.startsWith("Udp: "))
    .map((line) => line.split(" "));
  const fourth = Number(values?.[names?.indexOf("InDatagrams") ?? -1]);
  if (!Number.isFinite(fourth)) return undefined;
  const [, sixth = 0] =
    /^Udp6InDatagrams\s+(\d+)$/m.exec(readProcText(join(root, String(pid), "net/snmp6")) ?? "") ?? [];
  return fourth + Number(sixth);
}

/** What has a socket open, as far as this user may look. Walks over every process: for the rare case only. */
export function processesHolding(
  inode: number,
  root = "/proc",
): readonly { readonly pid: number; readonly name: string }[] {
  return readdirSync(root).flatMap((name) => {
    const pid = /^[1-9]\d*$/.test(name) ? Number(name) : undefined;
    if (pid === undefined || socketInodes(pid, root)?.includes(inode) !== true) return [];
    return { pid, name: (readProcText(join(root, name, "comm")) ?? "").trim() };
  });
}
