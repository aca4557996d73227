import type { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { describeProblem, type ProblemTelling } from "../../contract/wire-event-problem.ts";

/** What a schema makes of an input. Throws `invalid` naming the field, what was given, by type unless it is open, and what is allowed. */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  whole: string,
  telling: Pick<ProblemTelling, "isOpen"> = {},
): z.output<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const message = describeProblem(parsed.error, input, telling).replace(/^event:/, `${whole}:`);
  throw new AppError("invalid", message, { field: message.slice(0, Math.max(0, message.indexOf(":"))) });
}
