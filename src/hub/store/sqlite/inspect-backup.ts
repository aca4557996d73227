import { DatabaseSync } from "node:sqlite";
import { AppError } from "../../../base/errors.ts";
import { APPLICATION_ID } from "./migrations.ts";
import { openError } from "./sqlite-error.ts";

export interface BackupFacts {
  /** Of its format; a hub reads its own and older ones. */
  readonly version: number;
  readonly boxes: number;
}

/** Reads the whole file and proves that it is a store and undamaged. Writes nothing. Throws `storage` or `config` with its name. */
export function inspectBackup(path: string): BackupFacts {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true });
    const [fault] = Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {});
    if (fault !== "ok") throw new AppError("storage", `${path} is damaged: ${String(fault)}`);
    if (numberOf(db, "PRAGMA application_id") !== APPLICATION_ID) {
      throw new AppError("config", `${path} is no backup of a hub; allowed: a file that sluice backup wrote`);
    }
    const boxes = numberOf(db, "SELECT count(*) FROM document WHERE collection = 'box'");
    return { version: numberOf(db, "PRAGMA user_version"), boxes };
  } catch (thrown) {
    throw openError(path, thrown);
  } finally {
    db?.close();
  }
}

function numberOf(db: DatabaseSync, question: string): number {
  const [value] = Object.values(db.prepare(question).get() ?? {});
  return Number(value ?? 0);
}
