import { AppError, errnoOf, messageOf } from "../base/errors.ts";
import { ERROR_POLICY, type ErrorCode } from "../contract/error-code.ts";

/** The `AppError` that an answer of the hub amounts to, in the hub's own words where it has some. */
export function toAnsweredError(status: number, body: unknown, hub: string): AppError<ErrorCode> {
  const told = readErrorBody(body);
  const code = told?.code ?? codeOfStatus(status);
  const message = told?.message ?? `the hub at ${hub} answered with status ${status} and no reason`;
  return new AppError(code, message, {
    ...(told?.field === undefined ? {} : { field: told.field }),
    ...(told?.currentRevision === undefined ? {} : { currentRevision: told.currentRevision }),
    ...(told?.retryAfter === undefined ? {} : { retryAfterMs: told.retryAfter * 1000 }),
  });
}

/** For what ended a request before it was answered, with what to do about it. */
export function toConnectionError(thrown: unknown, hub: string): AppError<ErrorCode> {
  if (thrown instanceof AppError && isErrorCode(thrown.code)) return new AppError(thrown.code, thrown.message);
  const fail = (message: string) => new AppError("unavailable", message, { cause: thrown });
  const code = errnoOf(thrown) ?? "";
  if (UNTRUSTED.has(code)) {
    return fail(
      `the certificate of ${hub} is not trusted (${messageOf(thrown)}): log in again with --ca FILE or --fingerprint, as the hub printed it`,
    );
  }
  if (code === "ECONNREFUSED") return fail(`nothing listens at ${hub}: is the hub running?`);
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return fail(`the name of ${hub} cannot be resolved (${code})`);
  if (code === "EPROTO" || code.startsWith("ERR_SSL_")) {
    return fail(`${hub} does not speak TLS as we do: is its address http:// rather than https://?`);
  }
  if (code === "ECONNRESET" && hub.startsWith("http://")) {
    return fail(`what listens at ${hub} ended the connection: is its address https:// rather than http://?`);
  }
  return fail(`cannot talk to the hub at ${hub}: ${messageOf(thrown)}`);
}

const UNTRUSTED: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "CERT_SIGNATURE_FAILURE",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

/** True for errors that say that no request reached the hub because its certificate is not trusted. */
export function isUntrusted(thrown: unknown): boolean {
  return thrown instanceof AppError && UNTRUSTED.has(errnoOf(thrown.cause) ?? "");
}

interface ToldError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly field: string | undefined;
  readonly retryAfter: number | undefined;
  readonly currentRevision: number | undefined;
}

function readErrorBody(body: unknown): ToldError | undefined {
  if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("message" in error)) return undefined;
  const told: Readonly<Record<string, unknown>> = { ...error };
  return {
    code: isErrorCode(told["code"]) ? told["code"] : undefined,
    message: String(told["message"]),
    field: typeof told["field"] === "string" ? told["field"] : undefined,
    retryAfter: typeof told["retryAfter"] === "number" ? told["retryAfter"] : undefined,
    currentRevision: typeof told["currentRevision"] === "number" ? told["currentRevision"] : undefined,
  };
}

function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "refused";
    case 404:
      return "not-found";
    case 409:
    case 412:
      return "conflict";
    case 413:
      return "too-large";
    case 429:
      return "rate-limited";
    default:
      return status >= 400 && status < 500 ? "invalid" : "unavailable";
  }
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_POLICY, value);
}
