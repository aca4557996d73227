import type { z } from "zod";

/** The first thing that is wrong, with its place: `records[3].pid: …`. */
export function firstProblem(place: string, error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) return place;
  const path = issue.path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  return `${place}${path}: ${issue.message}`;
}
