import type { AppError } from "../../base/errors.ts";
import { ERROR_POLICY, type ErrorBody, type ErrorCode, toAppError, toErrorBody } from "../../contract/error-code.ts";

export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;
}

const DEFAULT_RETRY_MS = 2000;

/** Pure. What a fault of ours says is for the log, never for the caller. */
export function toErrorAnswer(thrown: unknown): { readonly answer: ErrorAnswer; readonly error: AppError<ErrorCode> } {
  const error = toAppError(thrown);
  const policy = ERROR_POLICY[error.code];
  const body = toErrorBody(error);
  const isOurs = error.code === "internal" || error.code === "config";
  const retryAfter = body.error.retryAfter ?? (policy.http === 503 ? DEFAULT_RETRY_MS / 1000 : undefined);
  return {
    error,
    answer: {
      status: policy.http,
      headers: {
        ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
        ...(error.code === "unauthorized" ? { "www-authenticate": "Bearer" } : {}),
      },
      body: {
        error: {
          ...body.error,
          ...(isOurs ? { message: "the hub has a fault; its log says which" } : {}),
          ...(retryAfter === undefined ? {} : { retryAfter }),
        },
      },
    },
  };
}
