import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { instantSchema } from "./page.ts";

export const COMMAND_STATES = ["waiting", "taken", "done", "failed", "expired", "replaced"] as const;

/** Something that a box is asked to do once. */
export const commandViewSchema = z.object({
  id: z.string(),
  box: boxIdSchema,
  name: z.string(),
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

export const commandCreateSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and dashes"),
  args: z.record(z.string(), z.unknown()).default({}),
  deadlineSeconds: z.int().min(1).max(86_400).default(60),
});
export type CommandCreate = z.input<typeof commandCreateSchema>;
export const commandPathSchema = z.object({ box: boxIdSchema, id: z.string().min(1).max(128) });
