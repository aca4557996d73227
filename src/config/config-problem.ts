import { AppError } from "../base/errors.ts";
import { maskAddress } from "./mask-address.ts";

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** Where it was read: `/etc/sluice/agent.yaml:4`, `SSE_RETRY_DELAY (environment)`, `--box-id`. */
  readonly origin: string;
  readonly key: string;
  readonly message: string;
}

/** All problems as one error, so that one look mends them all. */
export function configError(problems: readonly ConfigProblem[]): AppError<"config"> {
  const count = problems.length === 1 ? "a problem" : `${problems.length} problems`;
  const lines = problems.map(({ origin, key, message }) => `  - ${origin}: ${key === "" ? "" : `${key} `}${message}`);
  return new AppError("config", [`the configuration has ${count}; nothing was started:`, ...lines].join("\n"), {
    ...(problems[0] === undefined ? {} : { field: problems[0].key }),
  });
}

/** A value for a message: short, on one line, credentials masked. */
export function showGiven(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  // Nearly an enrolment token is still a secret.
  if (typeof value === "string" && value.trimStart().startsWith("sluice1")) return '"sluice1.***"';
  if (typeof value === "string") return `${JSON.stringify(shorten(maskAddress(value)))}`;
  if (typeof value === "number" || typeof value === "boolean") return `${String(value)} (a ${typeof value})`;
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(showGiven).join(", ")}${value.length > 8 ? ", …" : ""}]`;
  return "a group of keys";
}

function shorten(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
