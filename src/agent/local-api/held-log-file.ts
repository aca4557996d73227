import { type FileHandle, open, stat } from "node:fs/promises";
import { errnoOf } from "../../base/errors.ts";
import { differenceOf, type LogAmounts, type LoggedFile, type LogPage } from "../runtime/output/log-ledger.ts";

/** A file of a log that is held open: it can be read to its end, whatever rotation does with its name. */
export interface HeldLogFile {
  readonly file: FileHandle;
  readonly inode: number;
  /** Undefined as long as its writer is not known in this process. */
  noted(): LoggedFile | undefined;
  /** What may be read of it: all, or what its writer has completed. */
  sizeBytes(): Promise<number>;
  /** As much of it as is there and fits, from `position` on; 0 at its end. */
  read(into: Buffer, position: number): Promise<number>;
}

/** The number and the contents of the log up to where its reader stands. */
export interface LogPosition {
  readonly number: number;
  readonly amounts: LogAmounts;
}

export interface NextLogFile {
  readonly held: HeldLogFile | undefined;
  /** What nobody can read any more, before it. `unknown`: something, or nothing. */
  readonly lost: LogAmounts | "unknown" | "nothing";
}

/** More than any log keeps (`log.keepFiles`). */
const MAX_ROTATED_FILES = 100;
const ROTATION_ATTEMPTS = 5;

export async function holdLogFile(path: string, page: LogPage | undefined): Promise<HeldLogFile | undefined> {
  const file = await openIfThere(path);
  if (file === undefined) return undefined;
  const { ino: inode, size } = await file.stat();
  // A file that is empty may be one that its writer has not noted yet.
  let noted = size > 0 ? page?.find(inode) : undefined;
  const sizeBytes = async () => {
    const { size: whole } = await file.stat();
    if (whole > 0) noted ??= page?.find(inode);
    return Math.min(whole, noted?.sizeBytes ?? whole);
  };
  return {
    file,
    inode,
    noted: () => noted,
    sizeBytes,
    read: async (into, position) => {
      const bytes = Math.min(into.length, (await sizeBytes()) - position);
      return bytes <= 0 ? 0 : (await file.read(into, 0, bytes, position)).bytesRead;
    },
  };
}

/**
 * The file to read after the one that was held. A reader who falls behind finds it under a number of its own; one who is
 * so far behind that it is gone goes on with the oldest that is left, and what was between is counted where a writer in this process
 * has noted it. `undefined`: it is not there yet.
 */
export async function holdNextLogFile(
  path: string,
  held: HeldLogFile | undefined,
  from: { readonly page: LogPage; readonly position: LogPosition } | undefined,
): Promise<NextLogFile | undefined> {
  if (from !== undefined) {
    const found = await holdNextNoted(path, from.page, from.position);
    if (found !== "unknown") return found;
  }
  const page = from?.page;
  for (let attempt = 0; held !== undefined && attempt < ROTATION_ATTEMPTS; attempt++) {
    const index = await rotatedIndexOf(held, path);
    if (index === undefined) return { held: await holdLogFile(path, page), lost: "unknown" };
    const next = await holdNewestBelow(index, path, page);
    // Rotation may go on meanwhile: what was opened counts only if the held one still stands beside it.
    const isBeside = (await rotatedIndexOf(held, path)) === index && !(await isAnyThere(next.index + 1, index, path));
    if (isBeside && next.held !== undefined) return { held: next.held, lost: "nothing" };
    await next.held?.file.close();
  }
  return held === undefined ? { held: await holdLogFile(path, page), lost: "nothing" } : undefined;
}

const nameOf = (index: number, path: string) => (index === 0 ? path : `${path}.${index}`);

/** The one that was begun next: below it there may be none for a moment, since files get their next numbers from the oldest on. */
async function holdNewestBelow(
  number: number,
  path: string,
  page: LogPage | undefined,
): Promise<{ readonly held: HeldLogFile | undefined; readonly index: number }> {
  let index = number;
  let held: HeldLogFile | undefined;
  while (held === undefined && index > 0) held = await holdLogFile(nameOf(--index, path), page);
  return { held, index };
}

async function isAnyThere(from: number, below: number, path: string): Promise<boolean> {
  for (let index = from; index < below; index++) {
    if ((await stat(nameOf(index, path)).catch(() => undefined)) !== undefined) return true;
  }
  return false;
}

/** `unknown`: what is there was written by somebody else. */
async function holdNextNoted(
  path: string,
  page: LogPage,
  position: LogPosition,
): Promise<NextLogFile | undefined | "unknown"> {
  for (let attempt = 0; attempt < ROTATION_ATTEMPTS; attempt++) {
    const oldest = await oldestAfter(position.number, path, page);
    if (typeof oldest === "string") return oldest === "none" ? undefined : "unknown";
    const held = await holdLogFile(oldest.path, page);
    const noted = held?.noted();
    if (noted !== undefined && noted.number === oldest.number) {
      return { held, lost: differenceOf(noted.begins, position.amounts) };
    }
    // It was rotated between the look and the opening.
    await held?.file.close();
  }
  return undefined;
}

/** `none`: nothing was begun after it yet; `unknown`: something was, by another writer. */
async function oldestAfter(
  number: number,
  path: string,
  page: LogPage,
): Promise<{ readonly path: string; readonly number: number } | "none" | "unknown"> {
  let oldest: { readonly path: string; readonly number: number } | undefined;
  let isForeign = false;
  // While files get their next numbers one of them is nowhere for a moment.
  for (let index = 0, missing = 0; index < MAX_ROTATED_FILES && missing < 2; index++) {
    const candidate = nameOf(index, path);
    const facts = await stat(candidate).catch(() => undefined);
    missing = facts === undefined ? missing + 1 : 0;
    if (facts === undefined || facts.size === 0) continue;
    const noted = page.find(facts.ino);
    if (noted === undefined) isForeign ||= index === 0;
    else if (noted.number > number && noted.number < (oldest?.number ?? Number.POSITIVE_INFINITY)) {
      oldest = { path: candidate, number: noted.number };
    }
  }
  return oldest ?? (isForeign ? "unknown" : "none");
}

/** `undefined` when it has been removed, or never had a number. */
export async function rotatedIndexOf(held: HeldLogFile, path: string): Promise<number | undefined> {
  // While files get their next numbers one of them is nowhere for a moment.
  for (let index = 1, missing = 0; index < MAX_ROTATED_FILES && missing < 2; index++) {
    const found = await stat(nameOf(index, path)).catch(() => undefined);
    missing = found === undefined ? missing + 1 : 0;
    if (found?.ino === held.inode) return index;
  }
  return undefined;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
