import { closeSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { AppError, messageOf } from "../../../base/errors.ts";
import { createStore, type StoreDeps } from "../create-store.ts";
import type { Store } from "../store.ts";
import { migrate } from "./migrations.ts";
import { createSqliteEngine } from "./sqlite-engine.ts";
import { openError, sqliteCodeOf } from "./sqlite-error.ts";

export interface SqliteStore extends Store {
  /**
   * Copies the store as it is at one moment into a new file, while verbs go on. Cursors given out since will not fit what
   * is restored from it: the copy has epochs of its own, so boxes and people are sent everything afresh. `storage`: it
   * could not be written; nothing is left behind then.
   */
  backup(target: string): Promise<void>;
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
  return { ...store, backup: (target) => copyTo(db, target, deps.newId()) };
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
    db.exec("PRAGMA journal_size_limit = 67108864");
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
    rmSync(part, { force: true });
    closeSync(openSync(part, "wx", 0o600));
    await copyPages(db, part);
    renewEpochs(part, epoch);
    syncPath(part);
    renameSync(part, target);
    syncPath(dirname(target));
  } catch (thrown) {
    for (const name of [part, `${part}-wal`, `${part}-shm`, `${part}-journal`]) rmSync(name, { force: true });
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

/** What is restored begins a life of its own: a cursor of the life after the copy must never be taken for one of it. */
function renewEpochs(path: string, epoch: string): void {
  const copy = new DatabaseSync(path);
  try {
    copy.exec("PRAGMA journal_mode = DELETE");
    copy
      .prepare(
        "UPDATE document SET body = json_set(body, '$.epoch', ?) WHERE collection IN ('expected', 'store-epoch')",
      )
      .run(epoch);
  } finally {
    copy.close();
  }
}

function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
