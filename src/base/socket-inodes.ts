import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** The inodes of a process's open sockets; undefined when it is gone or not ours to look into. `root`: where procfs is mounted. */
export function socketInodes(pid: number, root = "/proc"): readonly number[] | undefined {
  const directory = join(root, String(pid), "fd");
  try {
    return readdirSync(directory).flatMap((name) => inodeOf(join(directory, name)));
  } catch {
    return undefined;
  }
}

function inodeOf(path: string): readonly number[] {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1];
    return inode === undefined ? [] : [Number(inode)];
  } catch {
    return [];
  }
}
