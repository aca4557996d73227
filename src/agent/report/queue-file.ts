import { appendFile, readFile, rm, stat } from "node:fs/promises";
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

/** `maxBytes` guards memory: a file larger than that is not of our making, and counts as absent. */
export function createQueueFile(path: string, maxBytes: number): QueueFile {
  return {
    read: async () => {
      try {
        const { size } = await stat(path);
        return size > maxBytes ? undefined : await readFile(path, "utf8");
      } catch (thrown) {
        if (errnoOf(thrown) === "ENOENT") return undefined;
        throw thrown;
      }
    },
    append: (text) => appendFile(path, text, { mode: 0o600 }),
    replace: (text) => replaceFile(path, text, false),
    remove: () => rm(path, { force: true }),
  };
}
