import type { DatabaseSync } from "node:sqlite";
import { AppError } from "../../../base/errors.ts";

/** Marks the file as ours (`PRAGMA application_id`): "Slce". */
export const APPLICATION_ID = 0x536c6365;

/**
 * Forward only, never edited once released: the file's `PRAGMA user_version` is how many of them it has seen. Each runs in
 * one transaction with its number.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE document (
     collection TEXT NOT NULL,
     id TEXT NOT NULL,
     body TEXT NOT NULL,
     expires_ms INTEGER,
     PRIMARY KEY (collection, id)
   ) STRICT;
   CREATE INDEX document_expiry ON document (expires_ms) WHERE expires_ms IS NOT NULL;
   CREATE TABLE log (name TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE entry (
     log TEXT NOT NULL,
     sequence INTEGER NOT NULL,
     at_ms INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (log, sequence)
   ) STRICT;`,
];

/** Brings the file to the newest version. `version`: it was written by a newer program. `config`: it is not a store. */
export function migrate(db: DatabaseSync, path: string, migrations: readonly string[] = MIGRATIONS): void {
  const version = pragma(db, "user_version");
  const application = pragma(db, "application_id");
  const isEmpty = db.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.["count"] === 0;
  if (application !== APPLICATION_ID && !(isEmpty && application === 0)) {
    throw new AppError(
      "config",
      `${path} is an SQLite file of another program; name another file for the hub's store`,
      {
        field: "store.file",
      },
    );
  }
  if (version > migrations.length) {
    throw new AppError(
      "version",
      `${path} is at version ${version} and this program knows versions up to ${migrations.length}; run the newer program, or restore a backup made before the upgrade`,
      { field: "store.file" },
    );
  }
  for (const [index, migration] of migrations.entries()) {
    if (index < version) continue;
    db.exec("BEGIN IMMEDIATE");
    try {
      db.exec(migration);
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${index + 1}`);
      db.exec("COMMIT");
    } catch (thrown) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw thrown;
    }
  }
}

function pragma(db: DatabaseSync, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}
