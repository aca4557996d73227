import type { z } from "zod";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

const SHOWN_CHARACTERS = 80;
const PLAIN_NAME = /^[\w-]{1,80}$/;

export interface ProblemTelling {
  /** Of what the input is a part. */
  readonly prefix?: Path;
  /** No field of it is ever a secret: what was given is told word for word. */
  readonly isOpen?: boolean;
}

/**
 * The first problem of a failed parse as `field: given …; allowed: …`. Unless it is open, what was given is told by type and size
 * only: any text may be a URL with a password in it.
 */
export function describeProblem(error: z.ZodError, input: unknown, telling: ProblemTelling = {}): string {
  const { prefix = [], isOpen = false } = telling;
  // What is no whole number of a computer's is so for the field's own bounds too, and those are what helps.
  const issue = error.issues.find((each) => !isOfComputers(each)) ?? error.issues[0];
  if (issue === undefined) return `${toFieldName(prefix)}: not understood`;
  const { path, issues, unknown } = innermost(issue);
  const value = valueAt(input, unknown === undefined ? path : [...path, unknown]);
  const given = isOpen ? describeValue(value) : describeGiven(value, issues);
  const allowed = [...new Set(issues.map(describeAllowed))].join(" or ");
  const name = unknown === undefined ? [] : [PLAIN_NAME.test(unknown) ? unknown : describeValue(unknown)];
  return `${toFieldName([...prefix, ...path, ...name])}: given ${given}; allowed: ${allowed}`;
}

function isOfComputers(issue: z.core.$ZodIssue): boolean {
  return (issue.code === "too_big" || issue.code === "too_small") && issue.origin === "int";
}

/** `workloads[2].spec.outputs[0].url`; the event itself when the path is empty. */
export function toFieldName(path: Path): string {
  let name = "";
  for (const key of path) {
    if (typeof key === "number") name += `[${key}]`;
    else name += name === "" ? String(key) : `.${String(key)}`;
  }
  return name === "" ? "event" : name;
}

export function describeType(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string")
    return value.length === 1 ? "a text of 1 character" : `a text of ${value.length} characters`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "boolean") return String(value);
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** Text without control characters, and not without end. */
function describeValue(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") return describeType(value);
  const text = JSON.stringify(value.slice(0, SHOWN_CHARACTERS));
  return value.length > SHOWN_CHARACTERS ? `${text}… (${value.length} characters)` : text;
}

interface Innermost {
  readonly path: Path;
  readonly issues: readonly Issue[];
  /** What is called so there has no place in the schema: whatever somebody wrote. */
  readonly unknown?: string | undefined;
}

/** Of a union's branches those that understood most of the input say what is wrong. */
function innermost(issue: Issue): Innermost {
  if (issue.code === "unrecognized_keys") return { path: issue.path, issues: [issue], unknown: issue.keys[0] };
  if (issue.code !== "invalid_union") return { path: issue.path, issues: [issue] };
  const branches = issue.errors.flatMap(([first]) => (first === undefined ? [] : [innermost(first)]));
  const depth = Math.max(0, ...branches.map(({ path }) => path.length));
  const deepest = branches.filter(({ path }) => path.length === depth);
  const understood = deepest.filter(({ issues }) => issues.some(({ code }) => code !== "invalid_type"));
  // A text where an enumeration or an object may stand is wrong in both ways; a number too long is wrong in one.
  const chosen = depth === 0 && understood.every(({ issues }) => issues.every(isEnumeration)) ? deepest : understood;
  const told = chosen.length === 0 ? deepest : chosen;
  if (told.length === 0) return { path: issue.path, issues: [issue] };
  return {
    path: [...issue.path, ...(told[0]?.path ?? [])],
    issues: told.flatMap(({ issues }) => issues),
    unknown: told[0]?.unknown,
  };
}

function isEnumeration(issue: Issue): boolean {
  return issue.code === "invalid_value";
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.getOwnPropertyDescriptor(value, key)?.value;
  }
  return value;
}

function describeGiven(value: unknown, issues: readonly Issue[]): string {
  const isOfNumber = issues.every(
    (issue) =>
      issue.code === "too_big" ||
      issue.code === "too_small" ||
      (issue.code === "invalid_type" && issue.expected === "int"),
  );
  return isOfNumber && typeof value === "number" ? String(value) : describeType(value);
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function describeAllowed(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return TYPE_WORDS[issue.expected] ?? issue.expected;
    case "invalid_value":
      return issue.values.map(String).join(", ");
    case "too_big":
      return `at most ${issue.maximum}${unitOf(issue.origin, issue.maximum)}`;
    case "too_small":
      return `${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${unitOf(issue.origin, issue.minimum)}`;
    case "unrecognized_keys":
      return "no field of this name";
    default:
      return issue.message.replace(/^must be /, "");
  }
}

function unitOf(origin: string, count: number | bigint): string {
  if (origin === "string") return Number(count) === 1 ? " character" : " characters";
  if (origin === "array") return Number(count) === 1 ? " entry" : " entries";
  return "";
}
