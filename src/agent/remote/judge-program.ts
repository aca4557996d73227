import { basename, dirname, join, resolve } from "node:path/posix";
import type { PathLookup } from "../workload/stream/file-root.ts";

export interface ProgramDisk extends PathLookup {
  /** A file that somebody may execute. */
  isProgram(path: string): boolean;
}

/** Where a bare name is looked for. Fixed: the agent's own PATH is nothing that a policy should hang on. */
export const PROGRAM_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The absolute path that this name stands for in this directory; `undefined`: there is none, or it is no program. */
export function lookUpProgram(name: string, cwd: string, disk: ProgramDisk): string | undefined {
  const candidates = name.includes("/") ? [resolve(cwd, name)] : PROGRAM_PATH.map((directory) => join(directory, name));
  return name === "" ? undefined : candidates.find((path) => disk.isProgram(path));
}

/**
 * The path by which a program is allowed, or `undefined`. Two paths are the same program when they lead to the same file under the
 * same name: one file may be many programs by its name (busybox), and one program may have many paths. What then runs is the path
 * that the policy names: a link that the operator named may lead elsewhere a moment later.
 */
export function isAllowedProgram(path: string, allowed: readonly string[], disk: ProgramDisk): string | undefined {
  const wanted = identityOf(path, disk);
  if (wanted === undefined) return undefined;
  const same = allowed.find((one) => one !== "*" && identityOf(one, disk) === wanted);
  return same ?? (allowed.includes("*") ? path : undefined);
}

function identityOf(path: string, disk: ProgramDisk): string | undefined {
  const file = disk.realpath(path);
  // The name counts as it is called, its directory as it really is.
  return file === undefined || disk.realpath(dirname(path)) === undefined ? undefined : `${file}\0${basename(path)}`;
}
