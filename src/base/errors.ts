/**
 * The one error class. `code` comes from a closed list that says what to do about it (`contract/error-code.ts`);
 * nothing branches on `message`, which says what was attempted, with what, and what is allowed.
 */
export class AppError<Code extends string = string> extends Error {
  override readonly name = "AppError";
  readonly code: Code;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly currentRevision: number | undefined;

  constructor(code: Code, message: string, details: AppErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.retryAfterMs = details.retryAfterMs;
    this.currentRevision = details.currentRevision;
  }
}

export interface AppErrorDetails {
  /** The input's field that is wrong, as the sender spelt it: `outputs[0].url`. */
  readonly field?: string;
  readonly retryAfterMs?: number;
  /** What a conditional write should have named: the condition failed because it named another. */
  readonly currentRevision?: number;
  readonly cause?: unknown;
}

/** One line of text for any thrown value, with the causes that explain it. */
export function messageOf(thrown: unknown): string {
  const parts: string[] = [];
  for (let value: unknown = thrown, depth = 0; value !== undefined && depth < 4; depth++) {
    const text = value instanceof Error ? textOf(value) : String(value);
    if (text !== "" && !parts.includes(text)) parts.push(text);
    value = value instanceof Error ? value.cause : undefined;
  }
  return parts.join(": ");
}

/** The errno name of a system error (`ENOENT`), where it has one. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown) || typeof thrown.code !== "string") return undefined;
  return unnamedOf(thrown)?.name ?? thrown.code;
}

/** Errors of disks that Node has no name for: it calls each `Unknown system error` and its number, on Linux the same on every machine. */
const UNNAMED: ReadonlyMap<unknown, { readonly name: string; readonly text: string }> = new Map([
  [-122, { name: "EDQUOT", text: "disk quota exceeded" }],
  [-117, { name: "EUCLEAN", text: "the file system is damaged" }],
  [-116, { name: "ESTALE", text: "stale file handle" }],
]);

function unnamedOf(error: Error) {
  return "errno" in error ? UNNAMED.get(error.errno) : undefined;
}

function textOf(error: Error): string {
  const unnamed = unnamedOf(error);
  if (unnamed === undefined) return error.message || error.name;
  return error.message.replace(/^(Unknown system error -\d+)(: \1)?/, `${unnamed.name}: ${unnamed.text}`);
}
