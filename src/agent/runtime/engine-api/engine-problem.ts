import { AppError, errnoOf, messageOf } from "../../../base/errors.ts";
import { oneLine } from "../../../base/log.ts";
import type { ErrorCode } from "../../../contract/error-code.ts";

/** Which engine is asked, and where: for every message about it. */
export interface EngineAddress {
  /** `Docker Engine`, `Podman`. */
  readonly title: string;
  readonly socketPath: string;
}

const MAX_SHOWN_CHARACTERS = 300;

/** Engines answer 500 for nearly everything, so the text decides. First match wins. */
const TEXTS: readonly { readonly pattern: RegExp; readonly code: ErrorCode }[] = [
  // Podman, of what is being removed at that moment.
  { pattern: /no such container|no such volume|network not found/i, code: "not-found" },
  { pattern: /no space left on device|disk quota exceeded|read-only file system/i, code: "storage" },
  {
    pattern: /address already in use|port is already allocated|already in use by|ports? .* (?:are|is) already/i,
    code: "conflict",
  },
  {
    pattern:
      /cannot allocate memory|too many open files|resource temporarily unavailable|non-overlapping IPv4 address pool/i,
    code: "exhausted",
  },
  { pattern: /could not select device driver|nvidia|unknown or invalid runtime/i, code: "unsupported" },
  { pattern: /executable file .*not found|no such file or directory|permission denied/i, code: "not-found" },
];

/** What an answer of the engine that is no success means. */
export function toEngineError(
  answer: { readonly status: number; readonly text: string },
  what: string,
): AppError<ErrorCode> {
  const said = oneLine(messageIn(answer.text)).slice(0, MAX_SHOWN_CHARACTERS);
  return new AppError(codeOf(answer.status, said), `${what}: ${said === "" ? `status ${answer.status}` : said}`);
}

function codeOf(status: number, said: string): ErrorCode {
  if (status === 404) return "not-found";
  if (status === 409) return "conflict";
  if (status === 401 || status === 403) return "refused";
  return codeOfText(said) ?? (status === 400 ? "invalid" : "unavailable");
}

/** `undefined`: the text alone says nothing. */
export function codeOfText(said: string): ErrorCode | undefined {
  return TEXTS.find(({ pattern }) => pattern.test(said))?.code;
}

function messageIn(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string") {
      return body.message;
    }
  } catch {
    // Podman answers some faults with plain text.
  }
  return text;
}

/** What it means that the engine gave no answer. */
export function toAwayError(thrown: unknown, { title, socketPath }: EngineAddress): AppError<ErrorCode> {
  const errno = errnoOf(thrown);
  const details = { cause: thrown };
  switch (errno) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new AppError("unavailable", `${title} at ${socketPath}: nothing listens there`, details);
    case "EACCES":
    case "EPERM":
      return new AppError(
        "refused",
        `${title} at ${socketPath}: this user may not use it; allowed: root and the members of the socket's group`,
        details,
      );
    default:
      return new AppError("unavailable", `${title} at ${socketPath}: ${messageOf(thrown)}`, details);
  }
}
