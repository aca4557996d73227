import { closeSync, fstatSync, readSync, writeSync } from "node:fs";
import {
  createDescent,
  type Descent,
  lookAt,
  openFileAt,
  openForAppendingAt,
  type Place,
  removeDirectoryAt,
  splitPath,
} from "./jail.ts";

/**
 * Directories that a request made at its destination, one line each: inode and path. A request that is cancelled removes those of them in which
 * nothing lies. They are noted when they are there: one that a crash came before stays, and none of somebody else's is ever taken for one.
 */
export const MADE_NAME = Buffer.from("made");

/** What is read of it: a hundred thousand of them. Further ones stay. */
const MAX_BYTES = 16 * 1024 * 1024;

/** A descent that notes what it makes. `request` is where the request stages, and stays open meanwhile. */
export function createNotedDescent(root: number, request: number): Descent {
  let fd: number | undefined;
  const descent = createDescent(root, (parts, directory) => {
    try {
      fd ??= openForAppendingAt({ directory: request, name: MADE_NAME });
      const path = Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [SLASH, part])));
      const { ino } = fstatSync(directory, { bigint: true });
      writeSync(fd, `${ino} ${path.toString("base64")}\n`);
    } catch {
      // It stays when the request is cancelled: no reason to copy nothing into it.
    }
  });
  return {
    ...descent,
    close: () => {
      descent.close();
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

const SLASH = Buffer.from("/");

/** Those that are empty, the innermost first. Whatever is in the way of one stays as it is. */
export function removeEmptyMade(root: number, request: number): void {
  const descent = createDescent(root);
  try {
    const made = readMade({ directory: request, name: MADE_NAME });
    for (const { path, ino } of made.sort((one, other) => depthOf(other.path) - depthOf(one.path))) {
      try {
        const place = descent.place(splitPath(path));
        if (String(lookAt(place)?.ino) === ino) removeDirectoryAt(place);
      } catch {
        // Something is in it, or it is not there any more, or lies behind a link by now.
      }
    }
  } finally {
    descent.close();
  }
}

function depthOf(path: Buffer): number {
  return path.reduce((depth, byte) => (byte === SLASH[0] ? depth + 1 : depth), 0);
}

function readMade(place: Place): { readonly path: Buffer; readonly ino: string }[] {
  if (lookAt(place)?.isFile() !== true) return [];
  const fd = openFileAt(place);
  try {
    const bytes = Buffer.alloc(Math.min(fstatSync(fd).size, MAX_BYTES));
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    return bytes
      .toString("latin1", 0, length)
      .split("\n")
      .flatMap((line) => {
        // Of a line that a crash cut nothing is believed.
        const [, ino, path] = /^(\d{1,20}) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
        return ino === undefined || path === undefined ? [] : [{ path: Buffer.from(path, "base64"), ino }];
      });
  } finally {
    closeSync(fd);
  }
}
