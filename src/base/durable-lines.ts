import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { syncDirectory } from "./atomic-file.ts";

/**
 * A file of lines that only grows until it is emptied. One call to the system makes a line durable: those of one moment share it. A line
 * that was cut off harms no other: each is begun anew, so there are empty ones between them.
 */
export interface DurableLines {
  /** Resolves when the line is on the disk. Rejects with the system's error; the line may then be there, in part or not at all. */
  append(line: string): Promise<void>;
  /** After all appends so far. Rejects with the system's error. */
  empty(): Promise<void>;
  /** After all appends so far; a later one opens the file again. Never rejects. */
  close(): Promise<void>;
}

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_DSYNC;

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** The file is opened with the first append, and stays open. */
export function createDurableLines(path: string): DurableLines {
  let opened: Promise<FileHandle> | undefined;
  let waiting: Waiting[] = [];
  let last: Promise<unknown> = Promise.resolve();

  const openFile = async () => {
    const file = await open(path, FLAGS, 0o600);
    await syncDirectory(dirname(path)).catch(async (thrown: unknown) => {
      await file.close();
      throw thrown;
    });
    return file;
  };
  const theFile = () => {
    opened ??= openFile().catch((thrown: unknown) => {
      opened = undefined;
      throw thrown;
    });
    return opened;
  };
  const inTurn = <Answer>(act: () => Promise<Answer>): Promise<Answer> => {
    const next = last.then(act);
    last = next.catch(() => undefined);
    return next;
  };
  const writeWaiting = async () => {
    const mine = waiting;
    waiting = [];
    try {
      const file = await theFile();
      await file.appendFile(mine.map(({ line }) => `\n${line}\n`).join(""));
      for (const { resolve } of mine) resolve();
    } catch (thrown) {
      for (const { reject } of mine) reject(thrown);
    }
  };

  return {
    append: (line) =>
      new Promise((resolve, reject) => {
        waiting.push({ line, resolve, reject });
        if (waiting.length === 1) void inTurn(writeWaiting);
      }),
    empty: () => inTurn(async () => (await theFile()).truncate(0)),
    close: () =>
      inTurn(async () => {
        const file = await opened?.catch(() => undefined);
        opened = undefined;
        await file?.close().catch(() => undefined);
      }),
  };
}
