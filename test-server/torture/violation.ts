import { AppError } from "../../src/base/errors.ts";

/** What must hold after every step. */
export type Invariant =
  | "settled"
  | "kept"
  | "no stranger"
  | "one publisher"
  | "one agent"
  | "resources"
  | "no secret"
  | HubInvariant;
/** And where hubs are killed. */
export type HubInvariant = "writes" | "revisions" | "commands" | "converged" | "streams";

/** An invariant that does not hold, with what shows it. `field` of the error is the invariant. */
export function violation(invariant: Invariant, evidence: string): AppError<"violated"> {
  return new AppError("violated", evidence, { field: invariant });
}
