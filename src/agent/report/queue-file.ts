import { constants } from "node:fs";
import { appendFile, lstat, readFile, rm } from "node:fs/promises";
import { replaceFile } from "../../base/atomic-file.ts";
import { errnoOf } from "../../base/errors.ts";

/**
 * The queue's place on disk. What it holds is worth surviving a restart of the agent, not a flush to the medium for each
 * line: a power cut may lose the last ones.
 */
export interface QueueFile {
  /** `undefined` when there is none. */
  read(): Promise<string | undefined>;
  append(text: string): Promise<void>;
  /** Whole or not at all. */
  replace(text: string): Promise<void>;
  remove(): Promise<void>;
}

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** `maxBytes` guards memory: a file larger than that is not of our making, and counts as absent. */
export function createQueueFile(path: string, maxBytes: number): QueueFile {
  return {
    read: async () => {
      try {
        const facts = await lstat(path);
        if (facts.isFile()) return facts.size > maxBytes ? undefined : await readFile(path, "utf8");
        // A link or a directory is not of our making either, and would be in the way of ours.
        await rm(path, { recursive: true });
        return undefined;
      } catch (thrown) {
        if (errnoOf(thrown) === "ENOENT") return undefined;
        throw thrown;
      }
    },
    append: (text) => appendFile(path, text, { flag: APPEND, mode: 0o600 }),
    replace: (text) => replaceFile(path, text, false),
    remove: () => rm(path, { force: true }),
  };
}
