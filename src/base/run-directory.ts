import { createHash } from "node:crypto";
import { accessSync, constants, lstatSync, mkdirSync, realpathSync, rmdirSync, statfsSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { AppError, messageOf } from "./errors.ts";

/** Where files live that need not survive a reboot. */
export interface RunDirectory {
  readonly path: string;
  /** On tmpfs: writing there wears no disk, and a reboot empties it. */
  readonly isVolatile: boolean;
}

export interface RunDirectoryOptions {
  readonly stateDir: string;
  /** systemd's `RUNTIME_DIRECTORY`. */
  readonly runtimeDirectory?: string | undefined;
  readonly xdgRuntimeDirectory?: string | undefined;
  readonly userId: number;
}

const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

/** Short, and the same for every spelling of the path of one directory. */
export function hashOfDirectory(directory: string): string {
  return createHash("sha256").update(realPathOf(directory)).digest("hex").slice(0, 16);
}

/** In order of preference; the state directory itself is always left. Pure. */
export function runDirectoryCandidates(options: RunDirectoryOptions, hash: string): readonly string[] {
  const { runtimeDirectory, xdgRuntimeDirectory, userId, stateDir } = options;
  // systemd separates several directories with colons; the first is ours.
  const [fromSystemd] = runtimeDirectory?.split(":") ?? [];
  return [
    ...(fromSystemd !== undefined && isAbsolute(fromSystemd) ? [join(fromSystemd, hash)] : []),
    ...(userId === 0 ? [`/run/sluice-${hash}`] : []),
    ...(xdgRuntimeDirectory !== undefined && isAbsolute(xdgRuntimeDirectory)
      ? [join(xdgRuntimeDirectory, `sluice-${hash}`)]
      : []),
    join(stateDir, "run"),
  ];
}

/** Takes an empty run directory away; one that running workloads still use stays for the next agent. */
export function leaveRunDirectory(directory: RunDirectory): void {
  try {
    rmdirSync(directory.path);
  } catch {
    // Not empty, or gone already.
  }
}

/** Makes the first directory that can be ours alone, mode 0700. Throws `storage` when there is none at all. */
export function openRunDirectory(options: RunDirectoryOptions): RunDirectory {
  const reasons: string[] = [];
  for (const path of runDirectoryCandidates(options, hashOfDirectory(options.stateDir))) {
    try {
      makePrivateDirectory(path, options.userId);
      return { path, isVolatile: isOnTmpfs(path) };
    } catch (thrown) {
      reasons.push(`${path}: ${messageOf(thrown)}`);
    }
  }
  throw new AppError("storage", `no directory for volatile files can be made: ${reasons.join("; ")}`);
}

/** Throws when somebody else could write there: in a shared parent such a directory may have been laid out as a trap. */
export function makePrivateDirectory(path: string, userId: number): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const facts = lstatSync(path);
  if (!facts.isDirectory()) throw new AppError("storage", `${path} is not a directory`);
  if (facts.uid !== userId) throw new AppError("storage", `${path} belongs to user ${facts.uid}, not ${userId}`);
  if ((facts.mode & 0o022) !== 0) throw new AppError("storage", `${path} can be written by others`);
  accessSync(path, constants.W_OK | constants.X_OK);
}

export function isOnTmpfs(path: string): boolean {
  try {
    const { type } = statfsSync(path);
    return type === TMPFS_MAGIC || type === RAMFS_MAGIC;
  } catch {
    return false;
  }
}

function realPathOf(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return resolve(directory);
  }
}
