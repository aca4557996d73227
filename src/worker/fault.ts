import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { TRANSFER_FAILURES, type TransferFailureCode } from "../contract/transfer/failure-code.ts";

/** What a transfer's result may say of what went wrong. */
export type TransferFault = AppError<TransferFailureCode>;

const ERRNO_CODES: Readonly<Record<string, TransferFailureCode>> = {
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  EROFS: "read-only",
  EACCES: "denied",
  EPERM: "denied",
  // A link, or something that is no directory, where a directory should be.
  ELOOP: "denied",
  ENOTDIR: "denied",
  ENAMETOOLONG: "denied",
  EISDIR: "denied",
  EEXIST: "denied",
  ENOTEMPTY: "denied",
  ENOENT: "not-found",
  ESTALE: "not-found",
  ENOTSUP: "unsupported",
  ENOSYS: "unsupported",
  ECONNREFUSED: "unreachable",
  ECONNRESET: "unreachable",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  ETIMEDOUT: "unreachable",
  ENOTFOUND: "unreachable",
  EAI_AGAIN: "unreachable",
  EPIPE: "unreachable",
};

/** What the system's own words leave open, or say of a call that nobody has heard of. */
const WORDS: Readonly<Record<string, string>> = {
  EISDIR: "a directory lies where a file is to be",
  ENOTDIR: "something lies there that is no directory",
  ELOOP: "a link lies there, and none is followed",
  ENAMETOOLONG: "the name is longer than the file system takes",
  EEXIST: "something lies there that has this name",
  ENOTEMPTY: "a directory lies there that is not empty",
};

export function fault(code: TransferFailureCode, message: string, cause?: unknown): TransferFault {
  return new AppError(code, message, cause === undefined ? {} : { cause });
}

/** What is not one of ours by then is a failure of input or output. */
export function toFault(thrown: unknown): TransferFault {
  if (thrown instanceof AppError && isFailureCode(thrown.code)) return thrown as TransferFault;
  const errno = errnoOf(thrown) ?? "";
  const words = WORDS[errno];
  const message = words === undefined ? withoutDescriptor(messageOf(thrown)) : `${errno}: ${words}`;
  return fault(ERRNO_CODES[errno] ?? "io", message, thrown);
}

function isFailureCode(code: string): code is TransferFailureCode {
  return (TRANSFER_FAILURES as readonly string[]).includes(code);
}

/** Names of held directories mean nothing outside this process. */
function withoutDescriptor(message: string): string {
  return message.replaceAll(/\/proc\/(?:self|\d+)\/fd\/\d+\/?/g, "");
}
