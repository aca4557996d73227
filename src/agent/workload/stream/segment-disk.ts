import { lstatSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path/posix";
import { errnoOf } from "../../../base/errors.ts";

export interface Segment {
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
  readonly mtimeNs: bigint;
  /** `DEVICE:INODE`: which file it is, whatever it is called. */
  readonly file: string;
  /** Another one once anything of it has changed. */
  readonly identity: string;
}

/** The files of recordings, and who writes to them. */
export interface SegmentDisk {
  /** Empty where there is no such directory. */
  find(directory: string, name: RegExp): Segment[];
  look(path: string): Segment | undefined;
  /** `DEVICE:INODE` of everything that these processes hold open. Throws where that cannot be told. */
  openFiles(pids: readonly number[]): ReadonlySet<string>;
  /** Of everything that any process holds open into which this one may look: those that the agent has started are among them. */
  openAnywhere(): ReadonlySet<string>;
  remove(path: string): void;
}

export const systemSegmentDisk: SegmentDisk = {
  find: (directory, name) => {
    try {
      return readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isFile() && name.test(entry.name))
        .flatMap((entry) => look(join(directory, entry.name)) ?? []);
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return [];
      throw thrown;
    }
  },
  look,
  openFiles: (pids) => new Set(pids.flatMap(openFilesOf)),
  openAnywhere: () =>
    new Set(
      readdirSync("/proc").flatMap((name) => {
        try {
          return /^\d+$/.test(name) ? openFilesOf(Number(name)) : [];
        } catch (thrown) {
          if (errnoOf(thrown) === "EACCES" || errnoOf(thrown) === "EPERM") return [];
          throw thrown;
        }
      }),
    ),
  remove: (path) => rmSync(path, { force: true }),
};

function openFilesOf(pid: number): readonly string[] {
  return descriptorsOf(pid).flatMap((fd) => {
    try {
      const { dev, ino } = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
      return [`${dev}:${ino}`];
    } catch (thrown) {
      // Closed meanwhile.
      if (errnoOf(thrown) !== "ENOENT") throw thrown;
      return [];
    }
  });
}

/** A process that has ended holds nothing. */
function descriptorsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw thrown;
  }
}

function look(path: string): Segment | undefined {
  const facts = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (facts === undefined || !facts.isFile()) return undefined;
  const { dev, ino, size, mtimeNs, ctimeNs } = facts;
  const name = path.slice(path.lastIndexOf("/") + 1);
  const file = `${dev}:${ino}`;
  return { path, name, bytes: Number(size), mtimeNs, file, identity: [file, size, mtimeNs, ctimeNs].join(":") };
}
