import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { readSocketAddress } from "./tcp-table.ts";

/** One TCP socket by its own end, as `/proc/net/tcp` and `tcp6` show it. */
export interface LocalSocket {
  readonly inode: number;
  /** `10.0.0.5`, `::1`, `0.0.0.0`. */
  readonly address: string;
  readonly port: number;
  readonly isListening: boolean;
  readonly isEstablished: boolean;
}

const ESTABLISHED = "01";
const LISTEN = "0A";

/** All TCP sockets in the network namespace of a process, or of this one. Empty where they cannot be read. */
export function readLocalSockets(pid: number | "self" = "self", root = "/proc"): readonly LocalSocket[] {
  return ["tcp", "tcp6"].flatMap((table) => parseLocalSockets(readText(join(root, String(pid), "net", table))));
}

/** Lines that the kernel would not write are left out. */
export function parseLocalSockets(text: string): readonly LocalSocket[] {
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state = "", , , , , , inode] = line.trim().split(/\s+/);
    const point = readSocketAddress(local);
    const number = Number(inode);
    if (point === undefined || !Number.isSafeInteger(number)) return [];
    const colon = point.lastIndexOf(":");
    return {
      inode: number,
      address: point.slice(0, colon).replace(/^\[|\]$/g, ""),
      port: Number(point.slice(colon + 1)),
      isListening: state === LISTEN,
      isEstablished: state === ESTABLISHED,
    };
  });
}

/** The inodes of a process's sockets; `undefined` when it is gone or not ours to look into. */
export function socketInodes(pid: number, root = "/proc"): ReadonlySet<number> | undefined {
  const directory = join(root, String(pid), "fd");
  try {
    return new Set(readdirSync(directory).flatMap((name) => inodeOf(join(directory, name))));
  } catch {
    return undefined;
  }
}

/** What has a socket open, as far as this user may look. Walks over every process: for the rare case only. */
export function processesHolding(
  inode: number,
  root = "/proc",
): readonly { readonly pid: number; readonly name: string }[] {
  return readdirSync(root).flatMap((name) => {
    const pid = /^[1-9]\d*$/.test(name) ? Number(name) : undefined;
    if (pid === undefined || socketInodes(pid, root)?.has(inode) !== true) return [];
    return { pid, name: readText(join(root, name, "comm")).trim() };
  });
}

function inodeOf(path: string): readonly number[] {
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
