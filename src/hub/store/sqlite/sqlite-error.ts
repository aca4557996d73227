import { AppError, messageOf } from "../../../base/errors.ts";
import { storeUnavailable } from "../store-error.ts";

/** Primary result codes: https://www.sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
const CORRUPT = 11;
const CANTOPEN = 14;
const NOTADB = 26;

export function sqliteCodeOf(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !("errcode" in thrown) || typeof thrown.errcode !== "number") return undefined;
  return thrown.errcode & 0xff;
}

/** Why a file could not be opened, in words that say what to do. */
export function openError(path: string, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const code = sqliteCodeOf(thrown);
  const details = { field: "store.file", cause: thrown };
  if (code === BUSY || code === LOCKED) {
    return new AppError(
      "conflict",
      `${path} is in use by another hub; one hub a file: stop that one, or use Redis for several`,
      details,
    );
  }
  if (code === NOTADB || code === CORRUPT) {
    return new AppError(
      "storage",
      `${path} is damaged or no SQLite file; restore a backup, or name another file`,
      details,
    );
  }
  if (code === CANTOPEN) {
    return new AppError("storage", `${path} cannot be opened; the directory must exist and be writable`, details);
  }
  return new AppError("storage", `${path} cannot be used: ${messageOf(thrown)}`, { field: "store.file" });
}

/** What a verb's failure in SQLite is to the caller: a full or broken disk is the store's, anything else passes. */
export function verbError(path: string, thrown: unknown): unknown {
  return sqliteCodeOf(thrown) === undefined
    ? thrown
    : storeUnavailable(`the store ${path} refuses: ${messageOf(thrown)}`, thrown);
}
