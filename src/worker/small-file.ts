import { hash } from "node:crypto";
import { closeSync, fdatasync, fdatasyncSync, fstatSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "../base/errors.ts";
import { fault } from "./fault.ts";
import { createStagedAt, type Place, unlinkAt } from "./jail.ts";
import type { StagedFile } from "./staged-file.ts";

const syncData = promisify(fdatasync);

/** What is done with a staged file from which nothing is missing. */
export interface WholeFile extends Pick<StagedFile, "fd" | "ino" | "digest" | "sync" | "syncNow" | "close"> {
  /** That it has, where it was made just now. */
  readonly mode?: number;
}

/**
 * Verifies a whole short file and stages it at once, without leaving this thread: a trip to another costs more than all of that. Throws `corrupt`
 * for bytes that are not those that were hashed.
 */
export function stageSmallFile(
  place: Place,
  { bytes, digest, mode }: { readonly bytes: Buffer; readonly digest: Buffer; readonly mode: number },
): WholeFile {
  if (!hash("sha256", bytes, "buffer").equals(digest)) {
    throw fault("corrupt", "bytes that came over the network differ from their hash");
  }
  const text = digest.toString("hex");
  const fd = createAnew(place, mode);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, done);
    const facts = fstatSync(fd, { bigint: true });
    return {
      fd,
      ino: String(facts.ino),
      mode: Number(facts.mode & 0o7777n),
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
