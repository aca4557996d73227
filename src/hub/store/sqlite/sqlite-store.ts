import { closeSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { AppError, messageOf } from "../../../base/errors.ts";
import { syncFile } from "../../../base/sync-file.ts";
import { createStore, type StoreDeps } from "../create-store.ts";
import type { Store } from "../store.ts";
import type { StoreBackup } from "../store-backup.ts";
import { openBackupFile } from "./backup-file.ts";
import { migrate } from "./migrations.ts";
import { renewEpochs } from "./renew-epochs.ts";
import { createSqliteEngine } from "./sqlite-engine.ts";
import { openError, sqliteCodeOf } from "./sqlite-error.ts";

export interface SqliteStore extends Store {
  /**
   * Copies the store as it is at one moment into a new file, while verbs go on. Cursors given out since will not fit what
   * is restored from it: the copy has epochs of its own, so boxes and people are sent everything afresh. `storage`: it
   * could not be written; nothing is left behind then.
   */
  backup(target: string): Promise<void>;
  /** The same copy to be read; it takes room beside the store's file until it is closed. */
  openBackup(): Promise<StoreBackup>;
}

export interface SqliteOptions {
  /** Absolute path. The file is made, for its owner only; the directory must be there, on a local disk. */
  readonly path: string;
}

/** How long to wait for a hub that is just ending to let go of the file. */
const LOCK_WAIT_MS = 500;
const COPY_ATTEMPTS = 50;

/**
 * Opens or makes the file and holds it alone until `close`. Errors: `conflict` (another hub has it), `version` (a newer
 * program wrote it), `storage`, `config`.
 */
export function createSqliteStore({ path }: SqliteOptions, deps: StoreDeps): SqliteStore {
  const db = openDatabase(path);
  const store = createStore(createSqliteEngine(db, path), deps);
  const backup = (target: string) => copyTo(db, target, deps.newId());
  // Beside the file, which this hub alone holds: so what a killed hub has left there is ours to remove.
  const copy = `${path}.backup`;
  removeCopy(copy);
  let isCopyOpen = false;
  const openBackup = async () => {
    if (isCopyOpen) {
      throw new AppError("conflict", "another backup of this hub is being made; ask again when it is done");
    }
    isCopyOpen = true;
    try {
      await backup(copy);
      return await openBackupFile(copy, { onClose: () => (isCopyOpen = false) });
    } catch (thrown) {
      isCopyOpen = false;
      removeCopy(copy);
      throw thrown;
    }
  };
  return { ...store, backup, openBackup };
}

function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    // SQLite would make it readable for all; its other files take the mode of this one.
    closeSync(openSync(path, "a", 0o600));
    db = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
    // The mode comes first: the lock is then held from the first look into the file until it is closed, and no shared memory is needed.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    // Taken now, not with the first write: a second hub must learn it when it starts.
    db.exec("BEGIN EXCLUSIVE; COMMIT");
    db.exec("PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = FAST");
    migrate(db, path);
    return db;
  } catch (thrown) {
    if (db?.isOpen === true) db.close();
    throw openError(path, thrown);
  }
}

async function copyTo(db: DatabaseSync, target: string, epoch: string): Promise<void> {
  const part = `${target}.part`;
  try {
    removePart(part);
    closeSync(openSync(part, "wx", 0o600));
    await copyPages(db, part);
    for (const _step of renewEpochs(part, epoch)) await new Promise((resolve) => setImmediate(resolve));
    syncFile(part);
    renameSync(part, target);
    syncFile(dirname(target));
  } catch (thrown) {
    removePart(part);
    throw new AppError("storage", `the backup ${target} could not be written: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/**
 * A copy whose first step meets a write of the hub ends with SQLite's code for "no error" and nothing copied: it has only to
 * be begun again.
 */
async function copyPages(db: DatabaseSync, part: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await backup(db, part);
      return;
    } catch (thrown) {
      if (sqliteCodeOf(thrown) !== 0 || attempt >= COPY_ATTEMPTS) throw thrown;
    }
  }
}

function removeCopy(path: string): void {
  rmSync(path, { force: true });
  removePart(`${path}.part`);
}

function removePart(part: string): void {
  for (const name of [part, `${part}-wal`, `${part}-shm`, `${part}-journal`]) rmSync(name, { force: true });
}
