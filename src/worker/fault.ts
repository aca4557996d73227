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

export function fault(code: TransferFailureCode, message: string, cause?: unknown): TransferFault {
  return new AppError(code, message, cause === undefined ? {} : { cause });
}

/** What is not one of ours by then is a failure of input or output. */
export function toFault(thrown: unknown): TransferFault {
  if (thrown instanceof AppError && isFailureCode(thrown.code)) return thrown as TransferFault;
  const code = ERRNO_CODES[errnoOf(thrown) ?? ""] ?? "io";
  return fault(code, withoutDescriptor(messageOf(thrown)), thrown);
}

function isFailureCode(code: string): code is TransferFailureCode {
  return (TRANSFER_FAILURES as readonly string[]).includes(code);
}

/** Names of held directories mean nothing outside this process. */
function withoutDescriptor(message: string): string {
  return message.replaceAll(/\/proc\/self\/fd\/\d+\/?/g, "");
}
