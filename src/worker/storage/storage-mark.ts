import { randomUUID } from "node:crypto";
import { closeSync, writeSync } from "node:fs";
import { errnoOf } from "../../base/errors.ts";
import {
  listNames,
  lookAt,
  makeDirectoryAt,
  openDirectoryAt,
  openStagedAt,
  removeDirectoryAt,
  unlinkAt,
} from "./jail.ts";
import { STAGING_NAME } from "./staging.ts";

/**
 * Which workers have this very storage now. Each leaves a file with a name that nobody knows, and renews its time; who sees
 * another's being renewed has the same storage. One that came along when a disk was cloned is never renewed.
 */
export interface StorageMark {
  /** Shape of `workerStorageSchema`. `mark` is absent where nothing may be written. */
  renew(): { readonly mark?: string; readonly seen_marks: string[] };
  remove(): void;
}

const PREFIX = "m-";
/** A worker that is there renews its mark at each heartbeat, as we look at each of ours. */
const FRESH_LOOKS = 10;
const SWEEP_LOOKS = 100;
const DEAD_NS = 86_400_000_000_000n;
const MAX_SEEN = 256;

export function createStorageMark(rootOf: () => number, { write }: { readonly write: boolean }): StorageMark {
  const mark = randomUUID();
  const own = Buffer.from(PREFIX + mark);
  const others = new Map<string, { readonly atNs: bigint; readonly movedAt: number | undefined }>();
  let looks = 0;
  const inStaging = <T>(act: (directory: number) => T, makes: boolean): T | undefined => {
    const place = { directory: rootOf(), name: Buffer.from(STAGING_NAME) };
    try {
      if (makes) makeDirectoryAt(place);
      const directory = openDirectoryAt(place);
      try {
        return act(directory);
      } finally {
        closeSync(directory);
      }
    } catch (thrown) {
      // Full, read-only, or without any transfer yet: then nothing is proved.
      if (errnoOf(thrown) === undefined) throw thrown;
      return undefined;
    }
  };
  const touch = (directory: number): true => {
    const fd = openStagedAt({ directory, name: own });
    try {
      writeSync(fd, "\n", 0);
      return true;
    } finally {
      closeSync(fd);
    }
  };
  return {
    renew: () => {
      const isMarked = write && inStaging(touch, true) === true;
      const seen = inStaging((directory) => seenIn(directory), false) ?? [];
      return isMarked ? { mark, seen_marks: seen } : { seen_marks: seen };
    },
    remove: () => {
      if (!write) return;
      inStaging((directory) => unlinkAt({ directory, name: own }), false);
      try {
        removeDirectoryAt({ directory: rootOf(), name: Buffer.from(STAGING_NAME) });
      } catch {
        // Somebody else uses it.
      }
    },
  };

  function seenIn(directory: number): string[] {
    looks += 1;
    for (const name of listNames(directory)) {
      const text = name.toString("latin1");
      const facts = text.startsWith(PREFIX) && !name.equals(own) ? lookAt({ directory, name }) : undefined;
      if (facts === undefined) continue;
      const known = others.get(text);
      if (known === undefined) others.set(text, { atNs: facts.mtimeNs, movedAt: undefined });
      else if (known.atNs !== facts.mtimeNs) others.set(text, { atNs: facts.mtimeNs, movedAt: looks });
      if (write && looks % SWEEP_LOOKS === 0 && known?.atNs === facts.mtimeNs && isOld(directory, facts.mtimeNs)) {
        unlinkAt({ directory, name });
        others.delete(text);
      }
    }
    return [...others]
      .filter(([, { movedAt }]) => movedAt !== undefined && looks - movedAt < FRESH_LOOKS)
      .map(([name]) => name.slice(PREFIX.length))
      .slice(0, MAX_SEEN);
  }

  function isOld(directory: number, atNs: bigint): boolean {
    const mine = lookAt({ directory, name: own });
    return mine !== undefined && mine.mtimeNs - atNs > DEAD_NS;
  }
}
