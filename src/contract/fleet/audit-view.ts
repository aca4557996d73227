import { z } from "zod";
import { instantSchema, pageQuerySchema } from "./page.ts";

/** Who did what to what, newest first. */
export const auditViewSchema = z.object({
  sequence: z.int(),
  at: instantSchema,
  /** `operator:<token id>`, `box:<box id>`, `hub`. */
  actor: z.string(),
  action: z.string(),
  subject: z.string(),
  outcome: z.enum(["done", "refused"]),
  address: z.string().optional(),
  detail: z.string().optional(),
});
export type AuditView = z.output<typeof auditViewSchema>;

export const auditQuerySchema = pageQuerySchema.extend({
  actor: z.string().max(200).optional(),
  action: z.string().max(200).optional().describe("An action, or its first words: `box` matches `box.drain`."),
  subject: z.string().max(200).optional().describe("A subject, or its first parts: `box/north-1`."),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
});
