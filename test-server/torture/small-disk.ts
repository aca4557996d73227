import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";

/** A file system of 32 MB that can be filled to the last byte, and made read-only, while programs use it. */
export interface SmallDisk extends Disposable {
  fill(): void;
  makeRoom(): void;
  /** For files that are opened from now on. */
  makeReadOnly(): void;
  makeWritable(): void;
}

const SIZE = "32m";
const BALLAST = "ballast";

/** Mounts one on the empty directory; the reason as text where that cannot be had. */
export function mountSmallDisk(path: string): SmallDisk | string {
  if (process.getuid?.() !== 0) return "not root";
  try {
    run("mount", "-t", "tmpfs", "-o", `size=${SIZE},mode=0700`, "sluice-torture", path);
  } catch (thrown) {
    return messageOf(thrown).split("\n")[0] ?? "";
  }
  let isCovered = false;
  const makeWritable = () => {
    if (!isCovered) return;
    run("umount", "-l", path);
    isCovered = false;
  };
  return {
    fill: () => {
      const fd = openSync(join(path, BALLAST), "a");
      try {
        for (let bytes = 1024 * 1024; bytes >= 1; ) {
          try {
            writeSync(fd, Buffer.alloc(bytes));
          } catch {
            bytes = Math.floor(bytes / 16);
          }
        }
      } finally {
        closeSync(fd);
      }
    },
    makeRoom: () => rmSync(join(path, BALLAST), { force: true }),
    makeReadOnly: () => {
      // Over itself: the file system below is in use for writing, and would refuse to be turned.
      run("mount", "--bind", path, path);
      isCovered = true;
      run("mount", "-o", "remount,bind,ro", path);
    },
    makeWritable,
    [Symbol.dispose]: () => {
      makeWritable();
      run("umount", "-l", path);
    },
  };
}

function run(file: string, ...args: string[]): void {
  execFileSync(file, args, { stdio: "pipe" });
}
