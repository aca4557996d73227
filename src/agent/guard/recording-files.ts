import { lstat, readdir, statfs, unlink } from "node:fs/promises";
import { join } from "node:path/posix";
import { type RecordingPath, recordingNameMatcher } from "../../contract/recording-name.ts";
import type { RecordedFile } from "./recording-hold.ts";

/** The disks that streams record to. Nothing here blocks the agent, however long a disk takes to answer. */
export interface RecordingFiles {
  /** Bytes that an ordinary user may still write; undefined where nobody can tell. */
  freeBytes(path: string): Promise<number | undefined>;
  /** Files whose names only these recordings make. The newest of each recording may still be written to. */
  find(recordings: readonly RecordingPath[]): Promise<readonly RecordedFile[]>;
  remove(path: string): Promise<void>;
}

export const systemRecordingFiles: RecordingFiles = {
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path).catch(() => ({ bavail: undefined, bsize: 0 }));
    return bavail === undefined ? undefined : bavail * bsize;
  },
  find: async (recordings) => {
    const found = new Map<string, RecordedFile>();
    for (const { directory, pattern } of recordings) {
      const name = recordingNameMatcher(pattern);
      const files = await filesOf(directory, name);
      const newestMs = Math.max(...files.map(({ modifiedMs }) => modifiedMs));
      for (const file of files) {
        const isOpen = file.modifiedMs === newestMs || found.get(file.path)?.isOpen === true;
        found.set(file.path, { ...file, isOpen });
      }
    }
    return [...found.values()];
  },
  remove: (path) => unlink(path),
};

async function filesOf(directory: string, name: RegExp): Promise<Omit<RecordedFile, "isOpen">[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const files: Omit<RecordedFile, "isOpen">[] = [];
  for (const entry of entries) {
    if (!entry.isFile() || !name.test(entry.name)) continue;
    const path = join(directory, entry.name);
    const facts = await lstat(path).catch(() => undefined);
    // What a sparse file takes is what its blocks take.
    if (facts?.isFile() === true) files.push({ path, modifiedMs: facts.mtimeMs, sizeBytes: facts.blocks * 512 });
  }
  return files;
}
