import { AppError } from "../../base/errors.ts";
import { type ErrorCode, toAppError } from "../../contract/error-code.ts";

/** Exit statuses of our own, apart from those of the programs that run on boxes. */
export const REMOTE_EXIT = {
  /** It began, and how it ended is not known. */
  lost: 250,
  /** Less or other bytes arrived than were sent. */
  truncated: 251,
  /** Nothing was begun: hub, router or box cannot be reached, or did not answer in time. */
  unreachable: 252,
  denied: 253,
  /** Wrong arguments, or the two ends do not understand each other. */
  usage: 254,
} as const;
export type RemoteFailureKind = keyof typeof REMOTE_EXIT;

const KINDS: Partial<Record<ErrorCode, RemoteFailureKind>> = {
  refused: "denied",
  unauthorized: "denied",
  invalid: "usage",
  config: "usage",
  "not-found": "usage",
  unsupported: "usage",
  version: "usage",
  "too-large": "usage",
  internal: "usage",
};

/** Why a remote command ended without an end of what it was to run. */
export class RemoteFailure extends AppError<ErrorCode> {
  readonly kind: RemoteFailureKind;

  constructor(kind: RemoteFailureKind, error: AppError<ErrorCode>) {
    super(error.code, error.message, { cause: error.cause });
    this.kind = kind;
  }
}

/** What went wrong before anything was begun. */
export function failureOf(thrown: unknown): RemoteFailure {
  if (thrown instanceof RemoteFailure) return thrown;
  const error = toAppError(thrown);
  return new RemoteFailure(KINDS[error.code] ?? "unreachable", error);
}

export function failure(kind: RemoteFailureKind, code: ErrorCode, message: string): RemoteFailure {
  return new RemoteFailure(kind, new AppError(code, message));
}

/** What ended under way, by the code that the other end told it with. */
export function lostOf(code: string, message: string): RemoteFailure {
  const error = toAppError(new AppError(code, message));
  const isDenied = error.code === "refused" || error.code === "unauthorized";
  return new RemoteFailure(isDenied ? "denied" : "lost", error);
}
