import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

export interface LogFile {
  readonly path: string;
  readonly bytes: number;
  readonly changedMs: number;
  /** `x.log.2`: no longer written to. */
  readonly isRotated: boolean;
}

/**
 * What must go so that the rest fits: rotated files, oldest first, then current logs of workloads that are `idle`. A log
 * that is being written to stays: its own rotation bounds it.
 */
export function planRemovals(
  files: readonly LogFile[],
  totalBytes: number,
  isIdle: (path: string) => boolean,
): readonly string[] {
  let excessBytes = files.reduce((sum, { bytes }) => sum + bytes, 0) - totalBytes;
  const candidates = files
    .filter(({ path, isRotated }) => isRotated || isIdle(path))
    .sort((left, right) => Number(right.isRotated) - Number(left.isRotated) || left.changedMs - right.changedMs);
  const removals: string[] = [];
  for (const { path, bytes } of candidates) {
    if (excessBytes <= 0) break;
    removals.push(path);
    excessBytes -= bytes;
  }
  return removals;
}

/** Current logs are never removed: so many of them share half of the budget, and their rotated files the rest. */
export function fileShareBytes(maxFileBytes: number, totalBytes: number, files: number): number {
  return Math.min(maxFileBytes, Math.max(LEAST_FILE_BYTES, Math.floor(totalBytes / 2 / Math.max(1, files))));
}

const LEAST_FILE_BYTES = 65_536;

export interface LogBudgetOptions {
  readonly directory: string;
  readonly totalBytes: number;
  /** Name of the agent's own log in that directory, whose files do not count. */
  readonly agentLogName: string;
}

/** Removes what is beyond the budget. Resolves with the paths removed; files that cannot be looked at do not count. */
export async function enforceLogBudget(
  options: LogBudgetOptions,
  isIdle: (path: string) => boolean,
): Promise<readonly string[]> {
  const files: LogFile[] = [];
  for (const name of await readdir(options.directory).catch(() => [])) {
    const isAgents = name === options.agentLogName || name.startsWith(`${options.agentLogName}.`);
    const match = /\.log(\.\d+)?$/.exec(name);
    if (isAgents || match === null) continue;
    const path = join(options.directory, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isFile() !== true) continue;
    files.push({ path, bytes: facts.size, changedMs: facts.mtimeMs, isRotated: match[1] !== undefined });
  }
  const removals = planRemovals(files, options.totalBytes, isIdle);
  for (const path of removals) await rm(path, { force: true }).catch(() => undefined);
  return removals;
}
