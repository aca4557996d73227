import type { z } from "zod";
import { firstProblem } from "./first-problem.ts";

/** Pure. The entries of a stored list that are understood, and for each of the others why it is not. */
export function parseEntries<Schema extends z.ZodType>(
  place: string,
  entries: readonly unknown[],
  schema: Schema,
): { readonly parsed: readonly z.output<Schema>[]; readonly problems: readonly string[] } {
  const parsed: z.output<Schema>[] = [];
  const problems: string[] = [];
  for (const [index, entry] of entries.entries()) {
    const result = schema.safeParse(entry);
    if (result.success) parsed.push(result.data);
    else problems.push(firstProblem(`${place}[${index}]`, result.error));
  }
  return { parsed, problems };
}
