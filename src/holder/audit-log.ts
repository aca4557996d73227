import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
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
  /** On disk when it returns. Throws `storage`: what cannot be recorded is not begun. */
  must(entry: AuditEntry): void;
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
    if (held !== undefined) closeSync(held.fd);
    held = undefined;
  };
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
    held = { fd, inode: ino, device: dev, size };
    return held;
  };
  const write = (entry: AuditEntry, isDurable: boolean) => {
    const file = theFile();
    const line = Buffer.from(`${JSON.stringify({ at: new Date(clock.wallMs()).toISOString(), ...entry })}\n`);
    try {
      let written = 0;
      while (written < line.length) written += writeSync(file.fd, line, written);
      if (isDurable) fdatasyncSync(file.fd);
    } catch (thrown) {
      close();
      throw thrown;
    }
    if (file.size + line.length < MAX_FILE_BYTES) return;
    close();
    rotate(path);
  };
  return {
    must: (entry) => {
      try {
        write(entry, true);
      } catch (thrown) {
        throw new AppError("storage", `${path} cannot be written, so nothing is begun: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
    },
    note: (entry) => {
      try {
        write(entry, false);
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
}

function rotate(path: string): void {
  for (let index = KEPT_FILES - 1; index >= 1; index--) {
    const from = index === 1 ? path : `${path}.${index - 1}`;
    if (existsSync(from)) renameSync(from, `${path}.${index}`);
  }
}
