import { AppError, messageOf } from "../base/errors.ts";

/** What each error means for whoever meets it. A new code must answer all five questions: the record is total. */
export interface ErrorPolicy {
  /** `never`: the same input fails again; `backoff`: try again, later and later; `after`: wait for what the error names. */
  readonly retry: "never" | "backoff" | "after";
  readonly http: number;
  /** gRPC status code number. */
  readonly grpc: number;
  /** Exit status of a program that ends because of it (sysexits.h where one fits). */
  readonly exit: number;
  readonly level: "error" | "warn" | "info";
}

export const ERROR_POLICY = {
  /** A field of an input is wrong. */
  invalid: { retry: "never", http: 400, grpc: 3, exit: 64, level: "warn" },
  /** Configuration is wrong: a service manager must not restart in a loop. */
  config: { retry: "never", http: 500, grpc: 9, exit: 78, level: "error" },
  /** The box's own policy refuses what was asked. */
  refused: { retry: "never", http: 403, grpc: 7, exit: 77, level: "warn" },
  unauthorized: { retry: "after", http: 401, grpc: 16, exit: 77, level: "warn" },
  "not-found": { retry: "never", http: 404, grpc: 5, exit: 66, level: "info" },
  /** It was there, and was taken away for good. */
  gone: { retry: "never", http: 410, grpc: 5, exit: 66, level: "info" },
  /** Someone else holds it, or it changed meanwhile. */
  conflict: { retry: "never", http: 409, grpc: 10, exit: 75, level: "warn" },
  /** A change to something that this side does not have as the other side believes: send the whole. */
  "base-unknown": { retry: "after", http: 409, grpc: 9, exit: 75, level: "info" },
  /** What runs here is not made for it; the message says what is. */
  unsupported: { retry: "never", http: 409, grpc: 12, exit: 69, level: "info" },
  "too-large": { retry: "never", http: 413, grpc: 11, exit: 65, level: "warn" },
  /** Written by a newer or unknown version. */
  version: { retry: "never", http: 400, grpc: 9, exit: 65, level: "warn" },
  /** The peer, the network or a program is not there at the moment. */
  unavailable: { retry: "backoff", http: 503, grpc: 14, exit: 69, level: "warn" },
  /** The hub's store does not answer. What was asked may have been done or not: ask again with the same request id. */
  "store-unavailable": { retry: "backoff", http: 503, grpc: 14, exit: 69, level: "error" },
  /** More was asked than this caller may ask in this time. */
  "rate-limited": { retry: "after", http: 429, grpc: 8, exit: 75, level: "info" },
  timeout: { retry: "backoff", http: 504, grpc: 4, exit: 75, level: "warn" },
  /** Disk full, read-only, or refusing to write. */
  storage: { retry: "backoff", http: 507, grpc: 8, exit: 74, level: "error" },
  /** No process, descriptor or memory to be had. */
  exhausted: { retry: "backoff", http: 503, grpc: 8, exit: 71, level: "error" },
  cancelled: { retry: "never", http: 499, grpc: 1, exit: 130, level: "info" },
  /** A fault of ours. */
  internal: { retry: "backoff", http: 500, grpc: 13, exit: 70, level: "error" },
} as const satisfies Record<string, ErrorPolicy>;

export type ErrorCode = keyof typeof ERROR_POLICY;

/** An `AppError` of our closed list for any thrown value. */
export function toAppError(thrown: unknown): AppError<ErrorCode> {
  if (thrown instanceof AppError && thrown.code in ERROR_POLICY) return thrown as AppError<ErrorCode>;
  return new AppError("internal", messageOf(thrown), { cause: thrown });
}

/** The body of every error answer. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly field?: string;
    /** Seconds. */
    readonly retryAfter?: number;
    /** With `conflict`, where a condition on the revision failed. */
    readonly currentRevision?: number;
  };
}

export function toErrorBody(error: AppError<ErrorCode>): ErrorBody {
  return {
    error: {
      code: error.code,
      message: error.message,
      ...(error.field === undefined ? {} : { field: error.field }),
      ...(error.currentRevision === undefined ? {} : { currentRevision: error.currentRevision }),
      ...(error.retryAfterMs === undefined ? {} : { retryAfter: Math.ceil(error.retryAfterMs / 1000) }),
    },
  };
}
