import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../../src/base/errors.ts";
import { ERROR_POLICY, toAppError, toErrorBody } from "../../src/contract/error-code.ts";

/** Every failure as `{"error":{"code","message","field?"}}` with the status of its code. */
export function answerError(error: FastifyError | Error, _request: FastifyRequest, reply: FastifyReply): void {
  const appError = toAppError(asRequestError(error) ?? error);
  reply.code(ERROR_POLICY[appError.code].http).send(toErrorBody(appError));
}

/** Fastify's own complaints about a request: not JSON, too large, unknown content type. */
function asRequestError(error: FastifyError | Error): AppError | undefined {
  if (!("statusCode" in error) || typeof error.statusCode !== "number" || error.statusCode >= 500) return undefined;
  return new AppError(error.statusCode === 413 ? "too-large" : "invalid", `body: ${error.message}`, { cause: error });
}
