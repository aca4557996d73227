import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import type { CommandContext } from "./command-context.ts";

/** A file that a flag names, `-` for standard input. Throws `invalid` for one that cannot be read. */
export async function readGivenFile(
  path: string,
  flag: string,
  { io, readTextFile }: CommandContext,
): Promise<{ readonly path: string; readonly text: string }> {
  if (path === "-") return { path: "standard input", text: await io.readInput() };
  try {
    return { path, text: await readTextFile(path) };
  } catch (cause) {
    const why = errnoOf(cause) === "ENOENT" ? "there is no such file" : messageOf(cause);
    throw new AppError("invalid", `${flag}: ${path} cannot be read: ${why}`, { field: flag, cause });
  }
}
