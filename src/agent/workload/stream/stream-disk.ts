import {
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { join } from "node:path/posix";
import { errnoOf } from "../../../base/errors.ts";
import type { PathLookup } from "./file-root.ts";

/** The file that a running FFmpeg appends its progress to. */
export interface ProgressDisk {
  /** For reading and emptying; undefined while there is no such file. Throws the system's error otherwise. */
  open(path: string): number | undefined;
  /** `modifiedWallMs`: when it was last written to, on the wall clock. */
  stat(fd: number): { readonly sizeBytes: number; readonly modifiedWallMs: number };
  /** Bytes read into `buffer` from `offset` on; 0 at the end. */
  read(fd: number, buffer: Buffer, offset: number): number;
  truncate(fd: number): void;
  close(fd: number): void;
}

export interface FoundFile {
  readonly path: string;
  readonly modifiedMs: number;
}

export interface RecordingDisk {
  makeDirectory(path: string): void;
  /** Plain files of a directory whose name matches; empty where there is no such directory. */
  findFiles(directory: string, name: RegExp): FoundFile[];
  remove(path: string): void;
}

export type StreamDisk = PathLookup & ProgressDisk & RecordingDisk;

export const systemStreamDisk: StreamDisk = {
  realpath: (path) => absentAs(() => realpathSync(path), undefined),
  hasEntry: (path) => absentAs(() => lstatSync(path) !== undefined, false),
  open: (path) => absentAs(() => openSync(path, "r+"), undefined),
  stat: (fd) => {
    const { size, mtimeMs } = fstatSync(fd);
    return { sizeBytes: size, modifiedWallMs: mtimeMs };
  },
  read: (fd, buffer, offset) => readSync(fd, buffer, 0, buffer.length, offset),
  truncate: (fd) => ftruncateSync(fd, 0),
  close: (fd) => closeSync(fd),
  makeDirectory: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o750 });
  },
  findFiles: (directory, name) =>
    absentAs(() => readdirSync(directory, { withFileTypes: true }), [])
      .filter((entry) => entry.isFile() && name.test(entry.name))
      .flatMap((entry) => {
        const path = join(directory, entry.name);
        const modifiedMs = absentAs(() => lstatSync(path).mtimeMs, undefined);
        return modifiedMs === undefined ? [] : [{ path, modifiedMs }];
      }),
  remove: (path) => rmSync(path, { force: true }),
};

/** `absent` for a path that is not there, or that this user may not look into. */
function absentAs<Value, Absent>(read: () => Value, absent: Absent): Value | Absent {
  try {
    return read();
  } catch (thrown) {
    if (["ENOENT", "ENOTDIR", "EACCES", "ELOOP"].includes(errnoOf(thrown) ?? "")) return absent;
    throw thrown;
  }
}
