import { z } from "zod";
import { TRANSFER_FAILURES } from "./failure-code.ts";
import { requestIdSchema } from "./sync-request.ts";
import { relativePathSchema } from "./transfer-path.ts";
import { sha256Schema, TRANSFER_WAYS, workerIdSchema } from "./worker-heartbeat.ts";

/** 2000 hashes in base64. */
const MAX_HASHES_CHARACTERS = 90_000;

export const resultItemSchema = z.object({
  path: relativePathSchema,
  offset: z.int().min(0),
  length: z.int().min(0),
  /** Of this range; of `finish` and of whole files: of the file. */
  sha256: sha256Schema,
});
export type ResultItem = z.output<typeof resultItemSchema>;

export const resultFailureSchema = z.object({
  path: relativePathSchema,
  code: z.enum(TRANSFER_FAILURES),
  message: z.string().max(1000),
  /** Of `corrupt`, found when a file is finished: the ranges to move again. */
  blocks: z
    .array(z.object({ offset: z.int().min(0), length: z.int().min(0) }))
    .max(1024)
    .optional(),
  /** Of a copy: it is this one's word, that was to send it. Who copies is not to blame, and asks another. */
  source_worker: workerIdSchema.optional(),
});
export type ResultFailure = z.output<typeof resultFailureSchema>;

/**
 * `POST /workers/result`. The first five are as ever. `success`: everything of the lease is done; otherwise `items` says what is,
 * and `failures` what is not: the rest is given out again.
 */
export const transferResultSchema = z.object({
  request_id: requestIdSchema,
  worker_id: workerIdSchema,
  success: z.boolean(),
  message: z.string().max(4000).default(""),
  completed_at: z.string().max(64).optional(),
  lease_id: z.string().max(200).optional(),
  attempt: z.int().min(1).optional(),
  items: z.array(resultItemSchema).max(2000).default([]),
  /** Of a copy whose work `takes_hashes`, in the place of `items`: of each item of the assignment, in that order, as `packHashes` has them; none: not done. */
  item_hashes: z.base64().max(MAX_HASHES_CHARACTERS).optional(),
  failures: z.array(resultFailureSchema).max(2000).default([]),
  bytes_sent: z.int().min(0).default(0).describe("Over the network, for figures."),
  dial_failed: z
    .boolean()
    .default(false)
    .describe("The other side could not be reached by this way: another is tried."),
  way: z.enum(TRANSFER_WAYS).optional().describe("By which bytes came, or were to come."),
});
export type TransferResult = z.output<typeof transferResultSchema>;
export type TransferResultInput = z.input<typeof transferResultSchema>;

/** `stale`: a later attempt has it, or its request is over: nothing is taken from this one. */
export const resultAnswerSchema = z.object({ status: z.enum(["ack", "duplicate", "stale"]) });
export type ResultAnswer = z.output<typeof resultAnswerSchema>;
