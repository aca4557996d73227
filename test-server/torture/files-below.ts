import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../src/base/errors.ts";

export interface SeenFile {
  readonly path: string;
  readonly mode: number;
  readonly bytes: number;
}

/** Regular files below the directory, links not followed. What goes away while it is looked at was never there. */
export function filesBelow(directory: string): readonly SeenFile[] {
  const entries = orGone(() => readdirSync(directory, { withFileTypes: true })) ?? [];
  return entries.flatMap((entry): readonly SeenFile[] => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    const facts = entry.isFile() ? orGone(() => lstatSync(path)) : undefined;
    return facts === undefined ? [] : [{ path, mode: facts.mode & 0o777, bytes: facts.size }];
  });
}

/** Undefined for what is not there any more. */
export function orGone<Value>(look: () => Value): Value | undefined {
  try {
    return look();
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}
