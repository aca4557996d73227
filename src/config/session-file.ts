import type { z } from "zod";
import { AppError } from "../base/errors.ts";
import { sessionWishSchema } from "../contract/fleet/session.ts";
import { describeProblem, toFieldName } from "../contract/wire-event-problem.ts";
import { parseYamlDocument } from "./yaml-document.ts";

const partialWishSchema = sessionWishSchema.partial();
export type PartialSessionWish = z.output<typeof partialWishSchema>;

/** A session, or what of it does not come from flags. Throws `config`, naming line and field. */
export function parseSessionFile(path: string, text: string): PartialSessionWish {
  return parseFile({ path, text, schema: partialWishSchema });
}

function parseFile<Schema extends z.ZodType>({
  path,
  text,
  schema,
}: {
  readonly path: string;
  readonly text: string;
  readonly schema: Schema;
}): z.output<Schema> {
  const { value, originOf } = parseYamlDocument(path, text);
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const isUnknown = issue?.code === "unrecognized_keys";
  const place = isUnknown ? [...issue.path, issue.keys[0] ?? ""] : (issue?.path ?? []);
  const problem = isUnknown
    ? `${toFieldName(place)}: is not a key that a session has (docs/sessions.md lists them)`
    : describeProblem(parsed.error, value);
  throw new AppError("config", `${originOf(place)}: ${problem}`, { field: toFieldName(place) });
}
