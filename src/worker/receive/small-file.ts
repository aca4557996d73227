import { hash } from "node:crypto";
import { closeSync, fdatasync, fdatasyncSync, fstatSync, readSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "../../base/errors.ts";
import { fault } from "../fault.ts";
import { createStagedAt, type Place, unlinkAt } from "../storage/jail.ts";
import { SMALL_BYTES } from "../wire/item-hash.ts";
import type { StagedFile } from "./staged-file.ts";

const syncData = promisify(fdatasync);

/** What is done with a staged file from which nothing is missing. */
export interface WholeFile extends Pick<StagedFile, "fd" | "digest" | "sync" | "syncNow" | "close"> {
  /** That it has, where it was made just now. */
  readonly mode?: number;
}

export interface StagingRules {
  /** What is told of bytes that lie there, once they are written. */
  readonly digestOf: (fd: number, bytes: Buffer) => string;
  /** What became of modes that files were made with: the process's mask and the directory decide, the same for all in it. */
  readonly made: Map<number, number>;
}

/** Bytes that are proved, at once, without leaving this thread: a trip to another costs more than all of that. `mode`: to make it with. */
export function stagePacked(
  place: Place,
  { bytes, mode }: { readonly bytes: Buffer; readonly mode: number },
  { digestOf, made }: StagingRules,
): WholeFile {
  const fd = createAnew(place, mode);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, done);
    const text = digestOf(fd, bytes);
    const has = made.get(mode) ?? fstatSync(fd).mode & 0o7777;
    made.set(mode, has);
    return {
      fd,
      mode: has,
      digest: () => text,
      sync: () => syncData(fd),
      syncNow: () => fdatasyncSync(fd),
      close: async () => closeSync(fd),
    };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** SHA-256 of what lies there, which is held against what came. */
export function hashWritten(fd: number, bytes: Buffer): string {
  const there = scratch.subarray(0, bytes.length);
  for (let done = 0; done < there.length; ) {
    const count = readSync(fd, there, done, there.length - done, done);
    if (count === 0) break;
    done += count;
  }
  if (!there.equals(bytes)) throw fault("corrupt", "what was written differs from what came over the network");
  return hash("sha256", there, "hex");
}

const scratch = Buffer.alloc(SMALL_BYTES);

/** What an attempt left there that was cut off is of no use. */
function createAnew(place: Place, mode: number): number {
  try {
    return createStagedAt(place, mode);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST") throw thrown;
  }
  unlinkAt(place);
  return createStagedAt(place, mode);
}
