import { z } from "zod";
import { IDENTIFIER_PATTERN } from "./identifier-pattern.ts";

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
