import type { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { describeProblem } from "../../contract/wire-event-problem.ts";

/** What a schema makes of an input. Throws `invalid` naming the field, what was given by type, and what is allowed. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown, whole: string): z.output<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const message = describeProblem(parsed.error, input).replace(/^event:/, `${whole}:`);
  throw new AppError("invalid", message, { field: message.slice(0, Math.max(0, message.indexOf(":"))) });
}
