import { constants } from "node:fs";
import { type FileHandle, open, stat, truncate } from "node:fs/promises";
import { errnoOf } from "../../../base/errors.ts";
import { rotateFiles } from "../../../base/rotating-file.ts";
import type { LogAmounts, LogLedger } from "./log-ledger.ts";

/** Where a log ends: which file it is and how long. */
export interface LogPlace {
  readonly inode: number;
  readonly sizeBytes: number;
}

/** A session's log: written batch by batch, rotated at most once before each, and taken back to a place that was noted. */
export interface SessionLog {
  /** `amounts`: what the text stands for. False: the disk did not take it, and nothing of it is in the log. */
  append(text: string, amounts: LogAmounts): Promise<boolean>;
  /** Where it ends now; undefined while there is none. */
  place(): Promise<LogPlace | undefined>;
  /** Removes what was written after `place`, if no more than one batch was. `undefined`: when there was no log. */
  takeBack(place: LogPlace | undefined): Promise<void>;
  /** Why the last batch was not taken. */
  failure(): string | undefined;
  /** Nothing more is written by this writer. */
  close(): void;
}

export interface SessionLogOptions {
  readonly path: string;
  readonly maxFileBytes: () => number;
  /** The current one included. */
  readonly keepFiles: number;
  readonly onRotate: () => void;
}

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

export function createSessionLog(
  { path, maxFileBytes, keepFiles, onRotate }: SessionLogOptions,
  ledger: LogLedger,
): SessionLog {
  const page = ledger.open(path);
  let failure: string | undefined;

  /** The file to append to, and how long it is. */
  const openRoomFor = async (bytes: number): Promise<{ readonly file: FileHandle; readonly sizeBytes: number }> => {
    const file = await open(path, APPEND, 0o600);
    const { ino, size } = await file.stat();
    if (size > 0 && size + bytes > maxFileBytes()) {
      await file.close();
      await rotateFiles(path, keepFiles);
      onRotate();
      return openRoomFor(bytes);
    }
    page.begin(ino, size);
    return { file, sizeBytes: size };
  };

  return {
    failure: () => failure,
    close: page.close,
    place: () => placeOf(path),
    append: async (text, amounts) => {
      let opened: Awaited<ReturnType<typeof openRoomFor>> | undefined;
      try {
        const bytes = Buffer.from(text);
        opened = await openRoomFor(bytes.length);
        await opened.file.appendFile(bytes);
        page.add(opened.sizeBytes + bytes.length, amounts);
        failure = undefined;
        return true;
      } catch (thrown) {
        failure = errnoOf(thrown) ?? "write failed";
        // A disk that filled up took the beginning: what is said to be lost must not be there.
        await opened?.file.truncate(opened.sizeBytes).catch(() => undefined);
        return false;
      } finally {
        await opened?.file.close().catch(() => undefined);
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
