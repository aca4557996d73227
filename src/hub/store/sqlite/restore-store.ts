import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import { syncFile } from "../../../base/sync-file.ts";
import { type BackupFacts, inspectBackup } from "./inspect-backup.ts";
import { MIGRATIONS } from "./migrations.ts";
import { renewEpochs } from "./renew-epochs.ts";
import { openError } from "./sqlite-error.ts";

export interface Restored extends BackupFacts {
  /** Where the store that was there is kept; undefined when there was none. */
  readonly keptAs: string | undefined;
}

/**
 * Puts a backup in the place of the store, in a life of its own, so that boxes and people are sent everything afresh. At no
 * moment is there no store where one was. `conflict`: a hub has the file; `version`: a newer program wrote the backup;
 * `config`, `storage`: it is none or damaged, or could not be put there, and the store is as it was.
 */
export function restoreStore(
  paths: { readonly from: string; readonly path: string },
  deps: { readonly newId: () => string; readonly nowIso: () => string },
): Restored {
  const { from, path } = paths;
  const facts = inspectBackup(from);
  if (facts.version > MIGRATIONS.length) {
    throw new AppError(
      "version",
      `${from} is at version ${facts.version} and this program knows versions up to ${MIGRATIONS.length}; restore it with the newer program`,
    );
  }
  const owner = ownerOf(path) ?? ownerOf(dirname(path));
  const isThere = ownerOf(path) !== undefined;
  if (isThere) settle(path);
  const part = `${path}.restore`;
  try {
    rmSync(part, { force: true });
    closeSync(openSync(part, "wx", 0o600));
    copyFileSync(from, part);
    // The copy took over the mode of the other.
    chmodSync(part, 0o600);
    for (const _step of renewEpochs(part, deps.newId()));
    // By root, for a hub that runs as another user.
    if (owner !== undefined) chownSync(part, owner.uid, owner.gid);
    syncFile(part);
    const keptAs = isThere ? `${path}.replaced-${deps.nowIso().replace(/[:.]/g, "-")}` : undefined;
    if (keptAs !== undefined) linkSync(path, keptAs);
    renameSync(part, path);
    syncFile(dirname(path));
    return { ...facts, keptAs };
  } catch (thrown) {
    rmSync(part, { force: true });
    throw new AppError("storage", `${from} could not be put in the place of ${path}: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}

/** Proves that no hub has the file, and carries into it what lies beside it. */
function settle(path: string): void {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT");
  } catch (thrown) {
    const error = openError(path, thrown);
    if (error.code === "conflict") {
      throw new AppError("conflict", `${path} is in use by a hub; stop it first`, { cause: thrown });
    }
    // Damaged: the reason to restore. What lies beside it belongs to it, and must not be taken for the backup's.
    for (const suffix of ["-wal", "-shm", "-journal"]) rmSync(`${path}${suffix}`, { force: true });
  } finally {
    db?.close();
  }
}

function ownerOf(path: string): { readonly uid: number; readonly gid: number } | undefined {
  try {
    const { uid, gid } = statSync(path);
    return { uid, gid };
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw new AppError("storage", `${path} cannot be looked at: ${messageOf(thrown)}`, { cause: thrown });
  }
}
