import { AppError } from "../../base/errors.ts";

export function notFound(noun: string, id: string): AppError {
  return new AppError("not-found", `there is no ${noun} ${JSON.stringify(id)}`);
}

/** Throws `conflict`, carrying the current revision, unless the expected one is it or none is expected. */
export function requireRevision(what: string, expected: number | undefined, current: number): void {
  if (expected === undefined || expected === current) return;
  throw new AppError(
    "conflict",
    `${what} is at revision ${current}, not ${expected}; read it again and repeat the change`,
    {
      field: "expectedRevision",
      currentRevision: current,
    },
  );
}

/** The store cannot say now whether it did what was asked, or cannot do it. */
export function storeUnavailable(message: string, cause?: unknown): AppError {
  return new AppError("store-unavailable", message, cause === undefined ? {} : { cause });
}
