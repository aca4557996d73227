import { z } from "zod";
import { workloadIdSchema } from "../identifier.ts";
import { flagSchema } from "./page.ts";

/** The two outputs of a session's program. */
export const OUTPUT_NAMES = ["stdout", "stderr"] as const;
export type OutputName = (typeof OUTPUT_NAMES)[number];

/** One line of NDJSON that a box uploads to a log stream, and one event that its readers get. */
export const logRecordSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("line"),
    /** Where it has one: the time that the line bears. */
    at: z.string().optional(),
    /** `agent` or the id of a workload. */
    source: z.string(),
    /** Of a session: where the line was written. */
    output: z.enum(OUTPUT_NAMES).optional(),
    /** The line was too long for one record: it goes on in the next one of this output. */
    continues: z.literal(true).optional(),
    /** Of a session: a byte that is no text is `\\xNN`, and so is the backslash of what only looks like that. */
    text: z.string(),
  }),
  z.object({
    type: z.literal("gap"),
    at: z.string().optional(),
    lines: z.int().optional(),
    bytes: z.int().optional(),
    reason: z.string(),
  }),
  z.object({
    type: z.literal("end"),
    reason: z.string(),
    /** Said by the hub: what was asked for did not come, or not to its end. */
    failed: z.literal(true).optional(),
  }),
]);
export type LogRecord = z.output<typeof logRecordSchema>;

export const logQuerySchema = z.object({
  workload: workloadIdSchema.optional().describe("Left out: the agent's own log."),
  tail: z.coerce.number().int().min(0).max(10_000).default(100).describe("Lines from the end to begin with."),
  since: z.string().max(40).optional().describe("ISO 8601; lines before it are left out."),
  follow: flagSchema.default(true),
  output: z.enum(OUTPUT_NAMES).optional().describe("Of a session: one of its two outputs alone."),
});

/** Arguments of the command `logs` that asks a box to upload. */
export const logCommandArgsSchema = z.object({
  stream: z.string(),
  /** Where to upload to: the reader is at one of several hubs. Left out: the hub that the box talks to. */
  url: z.url().optional(),
  workload: z.string().optional(),
  tail: z.int(),
  since: z.string().optional(),
  follow: z.boolean(),
  output: z.enum(OUTPUT_NAMES).optional(),
});
export type LogCommandArgs = z.output<typeof logCommandArgsSchema>;
