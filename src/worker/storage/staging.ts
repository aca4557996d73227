import { hash } from "node:crypto";
import { closeSync, fstatSync } from "node:fs";
import { errnoOf } from "../../base/errors.ts";
import type { Assignment, CopyItem } from "../../contract/transfer/assignment.ts";
import { fault } from "../fault.ts";
import {
  listNames,
  lookAt,
  makeDirectoryAt,
  openDirectoryAt,
  openStagedAt,
  type Place,
  removeDirectoryAt,
  renameAt,
  syncHeldDirectory,
  unlinkAt,
} from "./jail.ts";
import { MADE_NAME } from "./made-directories.ts";
import { openUnitJournal, type UnitJournal } from "./unit-journal.ts";

/** In the root of a storage; nothing of this name is copied or written by a transfer. */
export const STAGING_NAME = ".sluice-transfer";

/**
 * What a request has under way on the destination's storage:
 *
 *     .sluice-transfer/<request>/p-<file>            a file that comes in several ranges
 *     .sluice-transfer/<request>/u-<unit>.<attempt>/ one lease: journal, f-<item> of each whole file, s-<index> of short ones that came together; of
 *                                                    `stagingAttempt`
 *     .sluice-transfer/<request>/made                directories that it made at the destination
 *
 * A later attempt moves the staged files of an earlier one into its own directory and removes that: whoever still works for the
 * earlier one, on whatever box shares the storage, finds neither a directory to stage in nor a file to give its name.
 */
export interface Staging {
  /** Throws `fenced` when a later attempt has been here. */
  claim(unit: string, attempt: number): UnitClaim;
  /** Where the ranges of one file come together. */
  partialName(item: Pick<CopyItem, "entry">): Buffer;
  readonly directory: number;
  close(): void;
}

export interface UnitClaim {
  readonly directory: number;
  readonly journal: UnitJournal;
  /** Throws `fenced` once a later attempt has taken over. */
  requireHeld(): void;
  close(): void;
}

const JOURNAL = Buffer.from("journal");
/** Of one request, by far. */
const MOST_ATTEMPTS = 10_000;

/** What claims are ordered by: a request that was forgotten and asked for again comes after all attempts of the former one. */
export function stagingAttempt({ requested_ms: ms, attempt }: Pick<Assignment, "requested_ms" | "attempt">): number {
  return Math.floor(ms / 1000) * MOST_ATTEMPTS + Math.min(attempt, MOST_ATTEMPTS - 1);
}

/** Same for the same range of the same file in every attempt. */
export function itemKey({ entry, offset, length }: CopyItem): string {
  return shortHash([entry.path, entry.generation, String(offset), String(length)]);
}

export function stagedName(key: string): Buffer {
  return Buffer.from(`f-${key}`);
}

/** Of a file that comes in a pack: of its index. What an earlier attempt left under it is of no use, and goes. */
export function packedName(index: number): Buffer {
  return Buffer.from(`s-${index}`, "latin1");
}

/** `requestId` is a name by its schema. */
export function openStaging(root: number, requestId: string): Staging {
  const all = holdMade(root, Buffer.from(STAGING_NAME));
  try {
    const directory = holdMade(all, Buffer.from(requestId));
    return {
      directory,
      claim: (unit, attempt) => claimUnit(directory, unit, attempt),
      partialName: ({ entry }) => Buffer.from(`p-${shortHash([entry.path, entry.generation])}`),
      close: () => closeSync(directory),
    };
  } finally {
    closeSync(all);
  }
}

/**
 * Whatever the request left, of all attempts. True when there was something. `whenFenced` comes when no attempt can give anything a name any more,
 * and again where a crash came between.
 */
export function removeStaging(root: number, requestId: string, whenFenced?: (request: number) => void): boolean {
  const name = Buffer.from(STAGING_NAME);
  let all: number;
  try {
    all = openDirectoryAt({ directory: root, name });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return false;
    throw thrown;
  }
  try {
    if (whenFenced !== undefined) fence({ directory: all, name: Buffer.from(requestId) }, whenFenced);
    const wasThere = removeTree(all, Buffer.from(requestId));
    if (wasThere) syncHeldDirectory(all);
    if (listNames(all).length === 0) {
      try {
        removeDirectoryAt({ directory: root, name });
      } catch (thrown) {
        // Another request has just begun.
        if (errnoOf(thrown) !== "ENOTEMPTY" && errnoOf(thrown) !== "ENOENT") throw thrown;
      }
    }
    return wasThere;
  } finally {
    closeSync(all);
  }
}

function fence(place: Place, whenFenced: (request: number) => void): void {
  if (lookAt(place)?.isDirectory() !== true) return;
  const request = openDirectoryAt(place);
  try {
    for (const name of listNames(request)) if (!name.equals(MADE_NAME)) removeTree(request, name);
    whenFenced(request);
  } finally {
    closeSync(request);
  }
}

/** Never follows a link: one that lies there is removed itself. */
export function removeTree(directory: number, name: Buffer): boolean {
  const place = { directory, name };
  const facts = lookAt(place);
  if (facts === undefined) return false;
  try {
    if (!facts.isDirectory()) {
      unlinkAt(place);
      return true;
    }
    // Somebody may put things there while it is emptied.
    for (let round = 0; ; round++) {
      const inner = openDirectoryAt(place);
      try {
        for (const child of listNames(inner)) removeTree(inner, child);
      } finally {
        closeSync(inner);
      }
      try {
        removeDirectoryAt(place);
        return true;
      } catch (thrown) {
        if (errnoOf(thrown) !== "ENOTEMPTY" || round === 10) throw thrown;
      }
    }
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return true;
    throw thrown;
  }
}

function claimUnit(request: number, unit: string, attempt: number): UnitClaim {
  const key = shortHash([unit]);
  const own = { directory: request, name: attemptName(key, attempt) };
  makeDirectoryAt(own);
  const directory = openOrFenced(() => openDirectoryAt(own));
  let journal: UnitJournal | undefined;
  try {
    // Both of two that begin at a time have made theirs before they look: at least the earlier sees the later.
    const others = attemptsOf(request, key).filter((other) => other !== attempt);
    if (others.some((other) => other > attempt)) {
      removeTree(request, own.name);
      throw fencedBy(attempt);
    }
    journal = openUnitJournal(openOrFenced(() => openStagedAt({ directory, name: JOURNAL })));
    for (const other of others.sort((one, two) => two - one)) {
      takeOver({ directory: request, name: attemptName(key, other) }, { directory, journal });
    }
    const held = journal;
    return {
      directory,
      journal: held,
      requireHeld: () => {
        if (fstatSync(directory).nlink === 0) throw fencedBy(attempt);
      },
      close: () => {
        held.close();
        closeSync(directory);
      },
    };
  } catch (thrown) {
    journal?.close();
    closeSync(directory);
    throw thrown;
  }
}

/** What is journalled is on disk under the new attempt before the old one goes. */
function takeOver(
  old: { readonly directory: number; readonly name: Buffer },
  into: { readonly directory: number; readonly journal: UnitJournal },
): void {
  let directory: number;
  try {
    directory = openDirectoryAt(old);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return;
    throw thrown;
  }
  try {
    const names = listNames(directory);
    if (names.some((name) => name.equals(JOURNAL))) {
      const theirs = openUnitJournal(openStagedAt({ directory, name: JOURNAL }));
      try {
        into.journal.append([...theirs.all()].filter(({ key }) => into.journal.of(key) === undefined));
        into.journal.sync();
      } finally {
        theirs.close();
      }
    }
    for (const name of names) {
      if (name.equals(JOURNAL)) continue;
      const target = { directory: into.directory, name };
      if (lookAt(target) === undefined) renameAt({ directory, name }, target);
    }
    syncHeldDirectory(into.directory);
  } finally {
    closeSync(directory);
  }
  removeTree(old.directory, old.name);
}

function attemptsOf(request: number, key: string): number[] {
  const start = `u-${key}.`;
  return listNames(request)
    .map((name) => name.toString("latin1"))
    .filter((name) => name.startsWith(start) && /^[1-9]\d{0,14}$/.test(name.slice(start.length)))
    .map((name) => Number(name.slice(start.length)));
}

function attemptName(key: string, attempt: number): Buffer {
  return Buffer.from(`u-${key}.${attempt}`);
}

function holdMade(directory: number, name: Buffer): number {
  makeDirectoryAt({ directory, name });
  return openDirectoryAt({ directory, name });
}

/** A later attempt may remove it between our making and our opening it. */
function openOrFenced(open: () => number): number {
  try {
    return open();
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") throw fault("fenced", "a later attempt has taken over", thrown);
    throw thrown;
  }
}

function fencedBy(attempt: number) {
  return fault("fenced", `attempt ${attempt} is over: a later one has taken over`);
}

function shortHash(parts: readonly string[]): string {
  return hash("sha256", parts.join("\0"), "hex").slice(0, 32);
}

/** A name in the directory of a lease that is free for the moment. */
export function scratchOf({ directory }: Pick<UnitClaim, "directory">, name = "xattrs"): Place {
  return { directory, name: Buffer.from(name) };
}
