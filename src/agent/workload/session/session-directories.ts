import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { lstat, mkdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, errnoOf } from "../../../base/errors.ts";
import { fromSystemError } from "../../../base/system-error.ts";
import type { SessionVolume, VolumeRule } from "../../../contract/session-spec.ts";
import { insideRoot } from "../../../translate/process-launch.ts";

export interface SessionPlaces {
  /** The workload's own directory: it goes with the session. */
  readonly directory: string;
  /** Of the box: what is kept when a session is stopped. */
  readonly stateDir: string;
}

export interface SessionDirectories {
  readonly root: string;
  readonly volumes: Readonly<Record<string, string>>;
}

/**
 * Where a session's files are as a plain process. Its root and the volumes that go with it lie in the workload's directory, the others
 * beside all workloads; each volume is linked to where the program looks for it. A volume whose `onStop` has changed moves over
 * with all its files.
 */
export async function makeSessionDirectories(
  id: string,
  volumes: readonly SessionVolume[],
  { directory, stateDir }: SessionPlaces,
): Promise<SessionDirectories> {
  const root = join(directory, "root");
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const places: Record<string, string> = {};
    for (const volume of volumes) {
      const place = volume.hostPath ?? (await makeVolume(volume, { id, directory, stateDir }));
      places[volume.name] = place;
      await linkVolume(insideRoot(root, volume.path), place);
    }
    return { root, volumes: places };
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
    throw fromSystemError(thrown, `cannot make the directories of session ${id}`);
  }
}

/** Volumes that outlive their session: `volumes/<session>/<volume>`. */
function keptPath(stateDir: string, id: string, name: string): string {
  return join(stateDir, "volumes", id, name);
}

/** Volumes that go with it. */
function lostPath(directory: string, name: string): string {
  return join(directory, "volumes", name);
}

async function makeVolume(
  { name, onStop = "keep" }: SessionVolume,
  { id, directory, stateDir }: SessionPlaces & { readonly id: string },
): Promise<string> {
  const kept = keptPath(stateDir, id, name);
  const lost = lostPath(directory, name);
  const [place, other] = onStop === "keep" ? [kept, lost] : [lost, kept];
  await mkdir(dirname(place), { recursive: true, mode: 0o700 });
  if ((await kindOf(place)) === undefined && (await kindOf(other)) === "directory") await rename(other, place);
  await mkdir(place, { recursive: true, mode: 0o700 });
  return place;
}

/**
 * Puts volumes where what becomes of the workload's directory does to them what was said last, and removes those that lie elsewhere
 * and go. Done again it changes nothing. Throws what the disk refuses: then the directory may hold what is to be kept.
 */
export function settleVolumes(
  id: string,
  rules: ReadonlyMap<string, VolumeRule>,
  { directory, stateDir }: SessionPlaces,
): void {
  for (const [name, rule] of rules) {
    const kept = keptPath(stateDir, id, name);
    const lost = lostPath(directory, name);
    if (rule === "delete") rmSync(kept, { recursive: true, force: true });
    else if (existsSync(lost) && !existsSync(kept)) {
      mkdirSync(dirname(kept), { recursive: true, mode: 0o700 });
      renameSync(lost, kept);
    }
  }
}

async function linkVolume(path: string, place: string): Promise<void> {
  const kind = await kindOf(path);
  if (kind === "link") {
    if ((await readlink(path)) === place) return;
    await rm(path);
  } else if (kind !== undefined) {
    throw new AppError("conflict", `volumes: ${path} is there already, and is no volume; allowed: another path`);
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await symlink(place, path);
}

async function kindOf(path: string): Promise<"link" | "directory" | "other" | undefined> {
  try {
    const entry = await lstat(path);
    return entry.isSymbolicLink() ? "link" : entry.isDirectory() ? "directory" : "other";
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
