import { z } from "zod";
import { flagSchema, instantSchema, pageQuerySchema } from "./page.ts";

/** Something that people who watch the fleet want to see. */
export const hubEventSchema = z.object({
  cursor: z.string(),
  at: instantSchema,
  /** `box.state`, `expected.changed`, `alert.fired` … */
  kind: z.string(),
  box: z.string().optional(),
  workload: z.string().optional(),
  /** One line for people. */
  text: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});
export type HubEventView = z.output<typeof hubEventSchema>;

/** `GET /v1/events` with `Accept: application/json`. `gone`: events after the cursor are lost; read the state afresh. */
export const hubEventPageSchema = z.object({
  items: z.array(hubEventSchema),
  next: z.string(),
  gone: z.enum(["too-old", "other-store", "ahead"]).optional(),
});
export type HubEventPage = z.output<typeof hubEventPageSchema>;

export const hubEventQuerySchema = pageQuerySchema.extend({
  recent: flagSchema.optional().describe("As JSON, without `after`: the last events, not those from now on."),
});
