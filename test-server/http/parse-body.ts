import type { z } from "zod";
import { AppError } from "../../src/base/errors.ts";

/** The body as the schema gives it, or `invalid` naming the first wrong field. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown, prefix = ""): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = [prefix, ...(issue?.path ?? [])].filter((part) => part !== "").join(".") || "body";
  throw new AppError("invalid", `${field}: ${issue?.message ?? "does not fit"}`, { field });
}
