import { z } from "zod";

/** One condition on the labels of a box. All of a selector must hold. */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: "in" | "not-in" | "exists" | "absent";
  /** For `in` and `not-in`. A box without the label is `not-in`. */
  readonly values?: readonly string[] | undefined;
}

const KEY = /^[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const FORMS = "key=value, key!=value, key, !key, key in (a,b), key notin (a,b)";

export const labelKeySchema = z
  .string()
  .regex(
    KEY,
    "must be 1 to 63 letters, digits, dots, dashes, slashes or underscores, beginning and ending with a letter or digit",
  );
export const labelValueSchema = z
  .string()
  .regex(
    /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/,
    "must be empty or 1 to 63 letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit",
  );
export const MAX_LABELS = 64;
export const labelsSchema = z
  .record(labelKeySchema, labelValueSchema)
  .refine((labels) => Object.keys(labels).length <= MAX_LABELS, `must be at most ${MAX_LABELS} labels`);
export type Labels = z.output<typeof labelsSchema>;

/** A selector as people write it, parsed: `site=north,role!=spare,gpu,!old,zone in (a,b)`. The empty one matches every box. */
export const selectorTextSchema = z
  .string()
  .max(2000)
  .refine((text) => parseSelector(text).ok, {
    error: (issue) => {
      const parsed = parseSelector(String(issue.input));
      return parsed.ok ? "" : parsed.problem;
    },
  });

export type ParsedSelector =
  | { readonly ok: true; readonly requirements: readonly LabelRequirement[] }
  | { readonly ok: false; readonly problem: string };

export function parseSelector(text: string): ParsedSelector {
  const requirements: LabelRequirement[] = [];
  if (text.trim() === "") return { ok: true, requirements };
  for (const term of splitTerms(text)) {
    const requirement = parseTerm(term.trim());
    if (requirement === undefined) {
      return { ok: false, problem: `${JSON.stringify(term.trim())} is no condition on labels; allowed are ${FORMS}` };
    }
    requirements.push(requirement);
  }
  return { ok: true, requirements };
}

/** At commas that stand outside of parentheses. */
function splitTerms(text: string): string[] {
  return text.split(/,(?![^()]*\))/);
}

function parseTerm(term: string): LabelRequirement | undefined {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    return KEY.test(key) && values.every((value) => VALUE.test(value))
      ? { key, operator: operator === "in" ? "in" : "not-in", values }
      : undefined;
  }
  const compared = /^([^=!\s]+)\s*(==?|!=)\s*([^=!\s]*)$/.exec(term);
  if (compared !== null) {
    const [, key = "", operator, value = ""] = compared;
    if (!KEY.test(key) || (value !== "" && !VALUE.test(value))) return undefined;
    return { key, operator: operator === "!=" ? "not-in" : "in", values: [value] };
  }
  const isAbsent = term.startsWith("!");
  const key = isAbsent ? term.slice(1).trim() : term;
  return KEY.test(key) ? { key, operator: isAbsent ? "absent" : "exists" } : undefined;
}

export function matchesSelector(
  labels: Readonly<Record<string, string>>,
  wanted: readonly LabelRequirement[],
): boolean {
  return wanted.every(({ key, operator, values = [] }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (operator === "exists") return value !== undefined;
    if (operator === "absent") return value === undefined;
    const isIn = value !== undefined && values.includes(value);
    return operator === "in" ? isIn : !isIn;
  });
}
