import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errnoOf } from "../../base/errors.ts";
import { isLive } from "../../base/proc-stat.ts";
import type { ProcessIdentity } from "../../base/process-identity.ts";
import type { ProcessTable } from "../../base/process-table.ts";
import { formatSyncFile, parseSyncFile, type SyncFile } from "../../config/sync-file.ts";

/** What is kept of directories in sync: a file each, for its owner only. */
export interface SyncBook {
  readonly directory: string;
  list(): Promise<readonly SyncEntry[]>;
  /** Rejects with `config` for a file that is none. */
  read(name: string): Promise<SyncEntry | undefined>;
  write(file: SyncFile): Promise<void>;
  forget(name: string): Promise<void>;
  logPath(name: string): string;
}

export interface SyncEntry {
  readonly file: SyncFile;
  /** The process that is named there lives, and is the one that wrote it. */
  readonly isRunning: boolean;
}

export interface SyncBookDeps {
  readonly table: ProcessTable;
  /** Whole or not at all, for its owner only. */
  readonly writePrivateFile: (path: string, text: string) => Promise<void>;
}

export function createSyncBook(directory: string, { table, writePrivateFile }: SyncBookDeps): SyncBook {
  const pathOf = (name: string) => join(directory, `${name}.json`);
  const read = async (name: string): Promise<SyncEntry | undefined> => {
    const path = pathOf(name);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return undefined;
      throw new AppError("storage", `${path} cannot be read`, { cause: thrown });
    }
    const file = parseSyncFile(text, path);
    return { file, isRunning: file.process !== undefined && isThatProcess(file.process, table) };
  };
  return {
    directory,
    read,
    list: async () => {
      const names = await readdir(directory).catch((thrown: unknown) => {
        if (errnoOf(thrown) === "ENOENT") return [];
        throw thrown;
      });
      const entries: SyncEntry[] = [];
      for (const name of names.filter((each) => each.endsWith(".json")).sort()) {
        const entry = await read(name.slice(0, -".json".length));
        if (entry !== undefined) entries.push(entry);
      }
      return entries;
    },
    write: (file) => writePrivateFile(pathOf(file.name), formatSyncFile(file)),
    forget: async (name) => {
      await rm(pathOf(name), { force: true });
      await rm(join(directory, `${name}.log`), { force: true });
    },
    logPath: (name) => join(directory, `${name}.log`),
  };
}

export function isThatProcess({ pid, startTicks, bootId }: ProcessIdentity, table: ProcessTable): boolean {
  const stat = table.stat(pid);
  return bootId === (table.bootId() ?? "") && stat !== undefined && stat.startTicks === startTicks && isLive(stat);
}

/** Of this process. */
export function identityOf(pid: number, table: ProcessTable): ProcessIdentity {
  return { pid, startTicks: table.stat(pid)?.startTicks ?? 0, bootId: table.bootId() ?? "" };
}
