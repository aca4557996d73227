import { AppError, errnoOf } from "./errors.ts";

export type SystemErrorCode = "not-found" | "refused" | "exhausted" | "storage" | "internal";

const CODE_BY_ERRNO: Readonly<Record<string, SystemErrorCode>> = {
  ENOENT: "not-found",
  ENOTDIR: "not-found",
  EACCES: "refused",
  EPERM: "refused",
  ELOOP: "refused",
  EAGAIN: "exhausted",
  EMFILE: "exhausted",
  ENFILE: "exhausted",
  ENOMEM: "exhausted",
  ENOSPC: "storage",
  EDQUOT: "storage",
  EROFS: "storage",
  EIO: "storage",
};

/** An `AppError` for what a system call threw. `attempted` says what was tried, with what: `cannot open /x/y`. */
export function fromSystemError(thrown: unknown, attempted: string): AppError<SystemErrorCode> {
  const errno = errnoOf(thrown);
  const code = (errno === undefined ? undefined : CODE_BY_ERRNO[errno]) ?? "internal";
  return new AppError(code, errno === undefined ? attempted : `${attempted} (${errno})`, { cause: thrown });
}
