import type { z } from "zod";
import { AppError } from "../base/errors.ts";
import { describeProblem, toFieldName } from "../contract/wire-event-problem.ts";
import { closestName } from "./closest-name.ts";
import { knownKeys } from "./known-keys.ts";
import { parseYamlDocument } from "./yaml-document.ts";

export interface ObjectFile<Schema extends z.ZodType> {
  readonly path: string;
  readonly text: string;
  readonly schema: Schema;
  /** `a fleet file`. */
  readonly name: string;
  /** Where its keys are told of. */
  readonly manual: string;
}

/** What a file of YAML or JSON says; an empty one says an empty object. Throws `config`, naming line and field. */
export function parseObjectFile<Schema extends z.ZodType>(file: ObjectFile<Schema>): z.output<Schema> {
  const { path, text, schema, name, manual } = file;
  const { value, originOf } = parseYamlDocument(path, text);
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const refuse = (place: readonly PropertyKey[], problem: string) =>
    new AppError("config", `${originOf(place)}: ${problem}`, { field: toFieldName(place) });
  if (issue?.code !== "unrecognized_keys") {
    throw refuse(issue?.path ?? [], describeProblem(parsed.error, value));
  }
  const [key = ""] = issue.keys;
  const place = [...issue.path, key];
  const near = closestName(key, knownKeys(schema, issue.path));
  const hint = near === undefined ? ` (${manual} lists them)` : `; did you mean ${near}?`;
  throw refuse(place, `${toFieldName(place)}: is not a key that ${name} has${hint}`);
}
