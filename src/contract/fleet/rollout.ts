import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { IDENTIFIER_PATTERN } from "../identifier-pattern.ts";
import { instantSchema } from "./page.ts";
import { selectorTextSchema } from "./selector.ts";

export const rolloutIdSchema = z
  .string()
  .regex(IDENTIFIER_PATTERN, "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -");

/**
 * A workload with placeholders in its strings: `{{box.id}}`, `{{box.name}}`, `{{label.site}}`. It is checked as a workload
 * once they are filled in, box by box: only then is it known whether the result is one.
 */
export const workloadTemplateSchema = z.looseObject({
  kind: z.string(),
  id: z.string().min(1),
  spec: z.looseObject({}),
});
export type WorkloadTemplate = z.output<typeof workloadTemplateSchema>;

/** `PUT /v1/rollouts/{id}`: one workload on every approved box whose labels match. */
export const rolloutPutSchema = z.strictObject({
  selector: selectorTextSchema,
  template: workloadTemplateSchema,
  /** Off: nothing new is placed and nothing is taken away. */
  enabled: z.boolean().default(true),
});
export type RolloutPut = z.input<typeof rolloutPutSchema>;

export const rolloutViewSchema = z.object({
  id: rolloutIdSchema,
  revision: z.int(),
  selector: z.string(),
  template: workloadTemplateSchema,
  enabled: z.boolean(),
  boxes: z.object({
    matching: z.int(),
    placed: z.int(),
    failed: z.array(z.object({ box: boxIdSchema, reason: z.string() })),
  }),
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type RolloutView = z.output<typeof rolloutViewSchema>;
export const rolloutPathSchema = z.object({ id: rolloutIdSchema });
