import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/errors.ts";

export type AuditEntry =
  | {
      readonly event: "begin" | "resume" | "refuse";
      readonly session: string;
      readonly operator: string;
      readonly operation: string;
      readonly reason?: string;
    }
  | {
      readonly event: "open";
      readonly session: string;
      readonly channel: number;
      readonly what: string;
      readonly pid?: number;
    }
  | { readonly event: "signal"; readonly session: string; readonly channel: number; readonly signal: string }
  | {
      readonly event: "close";
      readonly session: string;
      readonly channel: number;
      readonly exit?: string;
      readonly reason?: string;
      readonly seconds: number;
    }
  | {
      readonly event: "end";
      readonly session: string;
      readonly reason: string;
      readonly bytesToBox: number;
      readonly bytesFromBox: number;
      readonly seconds: number;
    };

/** The box's own record of what was done on it from afar: `remote.log`, one JSON object a line, which no hub can change. */
export interface AuditLog {
  /** Written when it returns, on disk when what it gives resolves. Throws, or rejects with, `storage`: what cannot be recorded is not begun. */
  must(entry: AuditEntry): Promise<void>;
  /** What has happened anyway. Never throws. */
  note(entry: AuditEntry): void;
}

const MAX_FILE_BYTES = 10 * 1024 * 1024;
const KEPT_FILES = 10;
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

export function createAuditLog(
  path: string,
  { clock, onProblem }: { readonly clock: Clock; readonly onProblem: (message: string) => void },
): AuditLog {
  let held: OpenFile | undefined;
  const close = () => {
    const left = held;
    held = undefined;
    if (left?.syncs === 0) closeSync(left.fd);
  };
  const sync = (file: OpenFile): Promise<void> =>
    new Promise((resolve, reject) => {
      file.syncs += 1;
      // Apart: a slow disk keeps no other session from anything.
      fdatasync(file.fd, (problem) => {
        file.syncs -= 1;
        if (problem !== null && held === file) close();
        else if (file.syncs === 0 && held !== file) closeSync(file.fd);
        if (problem === null) resolve();
        else reject(problem);
      });
    });
  /** The one that has the name: somebody may have moved or removed what was opened before. */
  const theFile = (): OpenFile => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (held !== undefined && found?.ino === held.inode && found.dev === held.device) {
      held.size = found.size;
      return held;
    }
    close();
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, APPEND, 0o600);
    const { ino, dev, size } = fstatSync(fd);
    held = { fd, inode: ino, device: dev, size, syncs: 0 };
    return held;
  };
  const write = (entry: AuditEntry, isDurable: boolean): Promise<void> | undefined => {
    const file = theFile();
    let synced: Promise<void> | undefined;
    const line = Buffer.from(`${JSON.stringify({ at: new Date(clock.wallMs()).toISOString(), ...entry })}\n`);
    try {
      let written = 0;
      while (written < line.length) written += writeSync(file.fd, line, written);
      if (isDurable) synced = sync(file);
    } catch (thrown) {
      close();
      throw thrown;
    }
    if (file.size + line.length < MAX_FILE_BYTES) return synced;
    close();
    rotate(path);
    return synced;
  };
  const problemOf = (cause: unknown) =>
    new AppError("storage", `${path} cannot be written, so nothing is begun: ${messageOf(cause)}`, { cause });
  return {
    must: (entry) => {
      let written: Promise<void> | undefined;
      try {
        written = write(entry, true);
      } catch (thrown) {
        throw problemOf(thrown);
      }
      return Promise.resolve(written).catch((thrown: unknown) => {
        throw problemOf(thrown);
      });
    },
    note: (entry) => {
      try {
        void write(entry, false);
      } catch (thrown) {
        onProblem(`${path} cannot be written: ${messageOf(thrown)}`);
      }
    },
  };
}

interface OpenFile {
  readonly fd: number;
  readonly inode: number;
  readonly device: number;
  /** Before the line that is about to be written. */
  size: number;
  /** Waits for the disk that use it: it is closed after the last. */
  syncs: number;
}

function rotate(path: string): void {
  for (let index = KEPT_FILES - 1; index >= 1; index--) {
    const from = index === 1 ? path : `${path}.${index - 1}`;
    if (existsSync(from)) renameSync(from, `${path}.${index}`);
  }
}
