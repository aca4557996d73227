import { z } from "zod";
import { flagSchema } from "./page.ts";

/** Of writes that replace a whole thing. */
export const dryRunQuerySchema = z.object({
  dryRun: flagSchema.optional().describe("Say whether anything would change, and change nothing."),
});

/** Answer to `dryRun=true`. Secrets are compared too, though nobody sees them. */
export const changePreviewSchema = z.object({
  changed: z.boolean(),
  /** Of what is there now; absent when nothing is. */
  revision: z.int().optional(),
});
export type ChangePreview = z.output<typeof changePreviewSchema>;
