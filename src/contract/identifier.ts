import { z } from "zod";

/**
 * Ids name files, processes and journal identifiers, so they hold only characters that are safe in all three and never
 * begin with a dot or a dash.
 */
export const IDENTIFIER_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;

const identifier = z
  .string()
  .regex(IDENTIFIER_PATTERN, "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -");

export const boxIdSchema = identifier;
/** Names under which the agent itself keeps and shows things. */
const RESERVED_WORKLOAD_IDS: readonly string[] = ["agent", "stream_system"];

export const workloadIdSchema = identifier.refine(
  (id) => !RESERVED_WORKLOAD_IDS.includes(id),
  `must not be one of the agent's own names (${RESERVED_WORKLOAD_IDS.join(", ")})`,
);
