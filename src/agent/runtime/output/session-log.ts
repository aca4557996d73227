import { constants } from "node:fs";
import { appendFile, stat, truncate } from "node:fs/promises";
import { errnoOf } from "../../../base/errors.ts";
import { rotateFiles } from "../../../base/rotating-file.ts";

/** Where a log ends: which file it is and how long. */
export interface LogPlace {
  readonly inode: number;
  readonly sizeBytes: number;
}

/** A session's log: written batch by batch, rotated at most once before each, and taken back to a place that was noted. */
export interface SessionLog {
  /** False: the disk did not take it, and nothing of it is in the log. */
  append(text: string): Promise<boolean>;
  /** Where it ends now; undefined while there is none. */
  place(): Promise<LogPlace | undefined>;
  /** Removes what was written after `place`, if no more than one batch was. `undefined`: when there was no log. */
  takeBack(place: LogPlace | undefined): Promise<void>;
  /** Why the last batch was not taken. */
  failure(): string | undefined;
}

export interface SessionLogOptions {
  readonly path: string;
  readonly maxFileBytes: () => number;
  /** The current one included. */
  readonly keepFiles: number;
  readonly onRotate: () => void;
}

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

export function createSessionLog({ path, maxFileBytes, keepFiles, onRotate }: SessionLogOptions): SessionLog {
  let failure: string | undefined;

  return {
    failure: () => failure,
    place: () => placeOf(path),
    append: async (text) => {
      let before: LogPlace | undefined;
      try {
        before = await placeOf(path);
        if (before !== undefined && before.sizeBytes > 0 && before.sizeBytes + text.length > maxFileBytes()) {
          await rotateFiles(path, keepFiles);
          before = undefined;
          onRotate();
        }
        await appendFile(path, text, { flag: APPEND, mode: 0o600 });
        failure = undefined;
        return true;
      } catch (thrown) {
        failure = errnoOf(thrown) ?? "write failed";
        // A disk that filled up took the beginning: what is said to be lost must not be there.
        await truncate(path, before?.sizeBytes ?? 0).catch(() => undefined);
        return false;
      }
    },
    takeBack: async (place) => {
      const current = await placeOf(path);
      if (current === undefined) return;
      if (current.inode === place?.inode) {
        if (current.sizeBytes > place.sizeBytes) await truncate(path, place.sizeBytes);
        return;
      }
      const rotated = await placeOf(`${path}.1`);
      // The batch began this file, and is all that is in it.
      if (rotated?.inode === place?.inode && rotated?.sizeBytes === place?.sizeBytes) await truncate(path, 0);
    },
  };
}

async function placeOf(path: string): Promise<LogPlace | undefined> {
  try {
    const { ino, size } = await stat(path);
    return { inode: ino, sizeBytes: size };
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
