import { closeSync } from "node:fs";
import { pathBytes } from "../../contract/transfer/path-text.ts";
import { MAX_XATTR_BYTES, type TransferEntry, xattrBytes } from "../../contract/transfer/transfer-entry.ts";
import { createDescent, openFileAt, splitPath } from "../storage/jail.ts";
import { readXattrs, xattrScope } from "../storage/xattrs.ts";
import type { Task, TaskContext } from "./task-context.ts";

/** Adds extended attributes to what was listed, many at a time: one program for each would take longer than all else. */
export interface XattrReader {
  /** Answers how many characters more the page has by what was added since. */
  add(entry: TransferEntry): Promise<number>;
  /** All that was added has them, or a failure: more than fit. */
  flush(): Promise<readonly { readonly entry: TransferEntry; readonly failure: string | undefined }[]>;
  close(): void;
}

/** Files that are held open for it. */
const MAX_HELD = 64;

export function createXattrReader(
  { work }: Pick<Task<"list">, "work">,
  root: number,
  context: Pick<TaskContext, "runProgram" | "pid">,
): XattrReader {
  const scope = xattrScope(work.preserve);
  const place = splitPath(pathBytes(work.source.path));
  const descent = createDescent(root);
  const held: { readonly entry: TransferEntry; readonly fd: number }[] = [];
  const told: { readonly entry: TransferEntry; readonly failure: string | undefined }[] = [];

  const read = async (): Promise<number> => {
    if (scope === undefined || held.length === 0) return 0;
    const some = held.splice(0);
    let characters = 0;
    try {
      const found = await readXattrs(
        some.map(({ fd }) => fd),
        scope,
        context,
      );
      for (const [index, { entry }] of some.entries()) {
        const xattrs = found[index] ?? {};
        const bytes = xattrBytes(xattrs);
        if (bytes > MAX_XATTR_BYTES) {
          const failure = `it has ${Math.ceil(bytes)} bytes of extended attributes; allowed: ${MAX_XATTR_BYTES}`;
          told.push({ entry, failure });
        } else if (bytes > 0) {
          entry.xattrs = xattrs;
          characters += bytes * 2;
        }
      }
    } finally {
      for (const { fd } of some) closeSync(fd);
    }
    return characters;
  };

  return {
    add: async (entry) => {
      if (scope === undefined || (entry.type !== "file" && entry.type !== "directory")) return 0;
      const parts = [...place, ...(entry.path === "" ? [] : splitPath(pathBytes(entry.path)))];
      // The root of a storage is not a copy of anything.
      if (parts.length === 0) return 0;
      try {
        held.push({ entry, fd: openFileAt(descent.place(parts)) });
      } catch {
        // Who copies it cannot read it either, and says why.
        return 0;
      }
      return held.length >= MAX_HELD ? read() : 0;
    },
    flush: async () => {
      await read();
      return told.splice(0);
    },
    close: () => {
      for (const { fd } of held.splice(0)) closeSync(fd);
      descent.close();
    },
  };
}
