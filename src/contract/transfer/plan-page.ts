import { z } from "zod";
import { requestIdSchema } from "./sync-request.ts";
import { transferEntrySchema } from "./transfer-entry.ts";
import { resultFailureSchema } from "./transfer-result.ts";
import { workerIdSchema } from "./worker-heartbeat.ts";

export const MAX_PAGE_ENTRIES = 1000;

/** `POST /workers/plan`. A page that was sent before is `duplicate`; a lease that is not the present one is `stale`: stop listing. */
export const planPageSchema = z.object({
  worker_id: workerIdSchema,
  request_id: requestIdSchema,
  lease_id: z.string(),
  attempt: z.int().min(1),
  /** 0, 1, 2, … of the whole request, over all attempts. */
  page: z.int().min(0),
  entries: z.array(transferEntrySchema).max(MAX_PAGE_ENTRIES),
  /** What the walk could not list since the page before: it is not copied. `unsupported`: pipes, devices and the like. */
  skipped: z
    .array(resultFailureSchema.omit({ blocks: true, source_worker: true }))
    .max(MAX_PAGE_ENTRIES)
    .default([]),
  is_last: z.boolean(),
});
export type PlanPage = z.output<typeof planPageSchema>;
export type PlanPageInput = z.input<typeof planPageSchema>;

/** Of `GET /workers/plan/{request_id}`. */
export const MAX_PAGES_AT_ONCE = 16;

/** `GET /workers/plan/{request_id}?page=N`; with `&only=TYPE` it has the entries of that type alone, with `&pages=M` those of so many pages. */
export const planPageViewSchema = z.object({
  page: z.int(),
  /** How many pages these are. Left out by an earlier hub, which gives one. */
  pages: z.int().min(1).default(1),
  entries: z.array(transferEntrySchema),
});
