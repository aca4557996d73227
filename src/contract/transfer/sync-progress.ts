import { z } from "zod";
import { instantSchema, MAX_PAGE_LIMIT } from "../fleet/page.ts";
import { TRANSFER_FAILURES } from "./failure-code.ts";
import { requestIdSchema, SYNC_MODES } from "./sync-request.ts";
import { treeComparisonSchema } from "./tree-comparison.ts";
import { TRANSFER_WAYS } from "./worker-heartbeat.ts";

/** `CANCELLED` only until every worker has confirmed that it left nothing; then the request is not there any more. */
export const SYNC_STATES = ["QUEUED", "PROGRESS", "COMPLETED", "FAILED", "CANCELLED"] as const;
export type SyncState = (typeof SYNC_STATES)[number];

/** Failures that are shown; `failures_total` counts all. */
export const MAX_SHOWN_FAILURES = 100;

export const syncFailureSchema = z.object({
  path: z.string(),
  code: z.enum(TRANSFER_FAILURES),
  message: z.string(),
});

export const syncWorkerSchema = z.object({
  worker_id: z.string(),
  /** What it does now. */
  work: z.string(),
  /** Of what it holds now, so far. */
  bytes: z.int(),
  rate_bytes_s: z.number(),
  way: z.enum(TRANSFER_WAYS).optional().describe("By which its bytes come."),
});

/** A way that could not be used, and is not tried again for a while. */
export const syncGivenUpSchema = z.object({
  worker_id: z.string().describe("The destination's."),
  way: z.enum(TRANSFER_WAYS),
  reason: z.string(),
  at: instantSchema,
});

/** `GET /sync/{id}`. */
export const syncProgressSchema = z.object({
  request_id: requestIdSchema,
  mode: z.enum(SYNC_MODES).default("copy").describe("verify: two places are compared; bytes and files are of both."),
  state: z.enum(SYNC_STATES),
  reason: z.string().describe("One sentence: what it does, why it waits, or why it failed."),
  source_path: z.string(),
  destination_path: z.string(),
  source_box: z.string().optional(),
  destination_box: z.string().optional(),
  priority: z.string(),
  transferred_bytes: z.int(),
  total_bytes: z.int().describe("Of what has been listed so far."),
  files_done: z.int(),
  files_total: z.int(),
  is_listed: z.boolean().describe("Whether the totals are final."),
  rate_bytes_s: z.number(),
  seconds_left: z.number().optional(),
  started_at: instantSchema.optional(),
  updated_at: instantSchema,
  detail: z.record(z.string(), z.string()),
  workers: z.array(syncWorkerSchema),
  ways: z.array(z.enum(TRANSFER_WAYS)).default([]).describe("By which bytes have come so far."),
  ways_given_up: z.array(syncGivenUpSchema).default([]),
  failures: z.array(syncFailureSchema),
  failures_total: z.int(),
  root_hash: z.string().optional().describe("SHA-256 over the path, type, size and hash of all that was copied."),
  comparison: treeComparisonSchema.optional().describe("Of mode verify, once both sides were hashed."),
  receipt: z.string().optional().describe("A JWT of the hub, by which the root hash can be shown to others."),
});
export type SyncProgress = z.output<typeof syncProgressSchema>;

/** What `GET /sync?limit=` answers, as a page: a whole one may have another after it. */
export const syncPageSchema = z
  .array(syncProgressSchema)
  .transform((items) => ({ items, next: items.length < MAX_PAGE_LIMIT ? undefined : items.at(-1)?.request_id }));

/** `GET /workers`. */
export const workerInventorySchema = z.object({
  active: z.array(z.looseObject({ worker_id: z.string(), status: z.string() })),
  inactive: z.array(z.looseObject({ worker_id: z.string(), status: z.string() })),
});

/** What `POST /sync/{id}/retry` answers. */
export const requeuedSchema = z.object({ status: z.literal("requeued"), request_id: requestIdSchema });

/** `POST /sync/{id}/reassign`. */
export const reassignSchema = z.strictObject({ worker_id: z.string().min(1).max(63) });
export const reassignedSchema = z.object({
  status: z.literal("requeued"),
  request_id: requestIdSchema,
  worker_id: z.string(),
});
