import { z } from "zod";
import { instantSchema } from "./page.ts";

export const SERIES_STEPS = ["15s", "1m", "15m"] as const;

export const telemetryQuerySchema = z.object({
  step: z.enum(SERIES_STEPS).default("1m"),
  from: instantSchema.optional().describe("Left out: an hour before `to`."),
  to: instantSchema.optional().describe("Left out: now."),
  names: z.string().max(4000).optional().describe("Names of figures, with commas between them. Left out: all."),
});

/** One bucket: each figure as mean, minimum and maximum over it. Names: `node.cpuPercent`, `cam-1/fps` … */
export const telemetryPointSchema = z.object({
  at: instantSchema,
  values: z.record(z.string(), z.object({ mean: z.number(), min: z.number(), max: z.number() })),
});
export const telemetryViewSchema = z.object({ step: z.enum(SERIES_STEPS), points: z.array(telemetryPointSchema) });
export type TelemetryView = z.output<typeof telemetryViewSchema>;
