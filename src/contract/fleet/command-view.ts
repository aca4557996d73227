import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { instantSchema } from "./page.ts";

export const COMMAND_STATES = ["waiting", "taken", "done", "failed", "expired", "replaced"] as const;

/** Something that a box is asked to do once. */
export const commandViewSchema = z.object({
  id: z.string(),
  box: boxIdSchema,
  name: z.string(),
  /** Secrets masked. */
  args: z.record(z.string(), z.unknown()),
  generation: z.int(),
  state: z.enum(COMMAND_STATES),
  createdAt: instantSchema,
  deadline: instantSchema,
  takenAt: instantSchema.optional(),
  finishedAt: instantSchema.optional(),
  answer: z.string().optional(),
});
export type CommandView = z.output<typeof commandViewSchema>;

/** A box keeps its open commands in one document, and takes no event above 1 MiB. */
export const MAX_COMMAND_ARGS_BYTES = 64 * 1024;

export const commandCreateSchema = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,62}$/, "must be letters, digits and dashes, beginning with a letter"),
  /** Of a session's commands: `SESSION_COMMAND_ARGS`. */
  args: z.record(z.string(), z.unknown()).default({}),
  deadlineSeconds: z.int().min(1).max(86_400).default(60),
});
export type CommandCreate = z.input<typeof commandCreateSchema>;
export const commandPathSchema = z.object({ box: boxIdSchema, id: z.string().min(1).max(128) });
