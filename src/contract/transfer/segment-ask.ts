import { z } from "zod";
import { workloadIdSchema } from "../identifier.ts";
import { ticketKeySchema } from "../remote/ticket-key.ts";

export const MAX_ASKED_SEGMENTS = 16;

/**
 * `POST /v1/boxes/{box}/segments`: a box has finished files of a recording whose rule says that they are moved. The hub asks for the transfer of
 * each, once however often it is told, and to where the rule says: a box names files of its own, and nothing else.
 */
export const segmentAskSchema = z.object({
  stream: workloadIdSchema,
  /** URL of the output, as the stream's spec has it. */
  output: z.string().max(4096),
  segments: z
    .array(
      z.object({
        /** File name, as the recording's pattern makes them. */
        name: z.string().min(1).max(255),
        bytes: z.int().min(0),
        mtime_ns: z.string().regex(/^-?[0-9]{1,20}$/),
      }),
    )
    .min(1)
    .max(MAX_ASKED_SEGMENTS),
});
export type SegmentAsk = z.output<typeof segmentAskSchema>;

export const SEGMENT_STATES = ["moving", "moved", "failed"] as const;

export const segmentAnswerSchema = z.object({
  segments: z.array(
    z.object({
      name: z.string(),
      state: z.enum(SEGMENT_STATES),
      request_id: z.string(),
      reason: z.string(),
      /** Of what is `moved`. */
      receipt: z.string().optional(),
    }),
  ),
  /** What the receipts are signed with. */
  keys: z.array(ticketKeySchema),
});
export type SegmentAnswer = z.output<typeof segmentAnswerSchema>;
