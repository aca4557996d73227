import { AppError, errnoOf, messageOf } from "./errors.ts";

/** Why a program could not be started, from what was thrown for it. */
export function spawnError(file: string, { cause }: { readonly cause?: unknown }): AppError {
  const errno = errnoOf(cause) ?? messageOf(cause);
  const attempted = `cannot start ${file} (${errno})`;
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return new AppError("not-found", `${attempted}: no such program`, { cause });
    case "EACCES":
      return new AppError("not-found", `${attempted}: it is not executable for this user`, { cause });
    case "EAGAIN":
    case "EMFILE":
    case "ENFILE":
    case "ENOMEM":
      return new AppError("exhausted", `${attempted}: no process, descriptor or memory to be had`, { cause });
    default:
      return new AppError("internal", attempted, { cause });
  }
}
