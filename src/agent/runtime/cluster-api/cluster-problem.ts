import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import { oneLine } from "../../../base/log.ts";
import type { ErrorCode } from "../../../contract/error-code.ts";
import { failureSchema } from "./cluster-answers.ts";

const MAX_SHOWN_CHARACTERS = 400;

/** What an answer of the API server that is no success means. */
export function toClusterError(
  answer: { readonly status: number; readonly text: string },
  what: string,
): AppError<ErrorCode> {
  const said = oneLine(messageIn(answer.text)).slice(0, MAX_SHOWN_CHARACTERS);
  return new AppError(codeOf(answer.status, said), `${what}: ${said === "" ? `status ${answer.status}` : said}`);
}

function codeOf(status: number, said: string): ErrorCode {
  // Quotas are told as a right that is missing.
  if (status === 403) return /exceeded quota/i.test(said) ? "exhausted" : "refused";
  switch (status) {
    case 401:
      return "refused";
    case 404:
    case 410:
      return "not-found";
    case 409:
      return "conflict";
    case 400:
    case 422:
      return "invalid";
    case 429:
      return "exhausted";
    default:
      return "unavailable";
  }
}

function messageIn(text: string): string {
  try {
    const parsed = failureSchema.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data.message ?? "") : text;
  } catch {
    // What stands before the API server answers with a page of its own.
    return text;
  }
}

const TLS_FAILURES: ReadonlySet<string | undefined> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_HAS_EXPIRED",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

/** What it means that the API server gave no answer. */
export function toClusterAwayError(thrown: unknown, place: string): AppError<ErrorCode> {
  const errno = errnoOf(thrown);
  const details = { cause: thrown };
  if (errno === "ECONNREFUSED") return new AppError("unavailable", `${place}: nothing listens there`, details);
  if (TLS_FAILURES.has(errno)) {
    const text = "its certificate does not lead to the authority that is given for it";
    return new AppError("refused", `${place}: ${text} (${messageOf(thrown)})`, details);
  }
  return new AppError("unavailable", `${place}: ${messageOf(thrown)}`, details);
}
