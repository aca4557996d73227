import { z } from "zod";
import { routerAddressSchema } from "../remote/offer.ts";
import { PRESERVED, requestIdSchema, VERIFY_LEVELS } from "./sync-request.ts";
import { transferEntrySchema } from "./transfer-entry.ts";
import { relativePathSchema } from "./transfer-path.ts";
import { endpointSchema, sha256Schema, storageIdSchema, workerIdSchema } from "./worker-heartbeat.ts";

/** A place in a storage: `path` is relative to the storage's root; "" is the root. */
export const placeSchema = z.object({ storage_id: storageIdSchema, path: relativePathSchema });
export type Place = z.output<typeof placeSchema>;

const pathsSchema = z.array(relativePathSchema);
const preserveSchema = z.array(z.enum(PRESERVED));

/** The source worker walks what is to be copied and sends it in pages to `POST /workers/plan`, in byte order of the paths' components. */
const listWorkSchema = z.object({
  kind: z.literal("list"),
  source: placeSchema,
  file_list: pathsSchema.optional(),
  include: z.array(z.string()),
  exclude: z.array(z.string()),
  preserve: preserveSchema,
  /** Number of the page that comes next; after `resume_after`, the last path that the hub has. */
  next_page: z.int().min(0),
  resume_after: z.string().optional(),
});

/** `offset` and `length` are a range of the file; the whole of it when the item is the only one of its file. */
export const copyItemSchema = z.object({
  entry: transferEntrySchema,
  offset: z.int().min(0),
  length: z.int().min(0),
});
export type CopyItem = z.output<typeof copyItemSchema>;

/** Whoever the bytes are with. */
export const peerSchema = z.object({
  worker_id: workerIdSchema,
  endpoints: z.array(endpointSchema),
  certificate_sha256: sha256Schema.optional(),
  storage_id: storageIdSchema,
  /** Of `transfer-ticket.ts`: opens the items of this lease at this peer, and nothing else. */
  ticket: z.string(),
});
export type TransferPeer = z.output<typeof peerSchema>;

/** How bytes get to a worker: it dials the source, the source dials it, or both dial a router. */
export const DIALS = ["destination", "source", "router"] as const;
export type Dial = (typeof DIALS)[number];

/** Where two workers meet of which neither reaches the other: one call of `Join` each, for one attempt of one unit. */
export const meetingSchema = z.object({
  router: routerAddressSchema,
  /** Secret, single-use: of `contract/remote/ticket.ts`. */
  ticket: z.string().min(1),
  /** Who is met, and the certificate that proves it through the router. */
  worker_id: workerIdSchema,
  certificate_sha256: sha256Schema,
});
export type Meeting = z.output<typeof meetingSchema>;

/**
 * The destination worker has the lease, because the bytes land there. A whole file (its range is all of it) is verified and gets
 * its name within this work; of a longer one only this range is staged. `dial` says who opens the connection: of `source`, a
 * `serve` has been given to one of `sources`, which will come with the ticket of this lease; of `router`, the same `serve` has it join
 * the session of `meeting`, and this side begins the conversation as if it had dialled.
 */
const copyWorkSchema = z.object({
  kind: z.literal("copy"),
  /** Same at each attempt; what is fenced by `attempt`. */
  unit: z.string(),
  source: placeSchema,
  destination: placeSchema,
  items: z.array(copyItemSchema),
  sources: z.array(peerSchema),
  dial: z.enum(DIALS),
  meeting: meetingSchema.optional(),
  /** This worker has both, as one storage or as two: it copies between them itself, without any source. */
  local: z.boolean(),
  verify: z.enum(VERIFY_LEVELS),
  preserve: preserveSchema,
  /** The hub takes `item_hashes` in the place of `items`. Left out by an earlier hub: it does not. */
  takes_hashes: z.boolean().default(false),
  /** Bytes a second that this lease may take; absent: as much as there is. */
  rate_bytes_s: z.number().positive().optional(),
});

/**
 * The source worker dials one of `destinations` and serves the items that the ticket opens; with `meeting` it joins that session, and
 * serves who comes there with a ticket. Its end is told like any other result.
 */
const serveWorkSchema = z.object({
  kind: z.literal("serve"),
  /** Lease and attempt of the copy that it is for. */
  copy_lease_id: z.string(),
  copy_attempt: z.int().min(1),
  source: placeSchema,
  destinations: z.array(peerSchema),
  meeting: meetingSchema.optional(),
});

/** A file that came in several ranges: all are staged. Verified as asked for, then metadata, then its name. */
const finishWorkSchema = z.object({
  kind: z.literal("finish"),
  unit: z.string(),
  destination: placeSchema,
  entry: transferEntrySchema,
  /** What was hashed while it moved; their order is that of the file. */
  ranges: z.array(z.object({ offset: z.int().min(0), length: z.int().min(0), sha256: sha256Schema })),
  verify: z.enum(VERIFY_LEVELS),
  preserve: preserveSchema,
});

/** Whole files are hashed where they lie, for a comparison: nothing is written, and none of their bytes leave the box. */
const hashWorkSchema = z.object({
  kind: z.literal("hash"),
  unit: z.string(),
  place: placeSchema,
  items: z.array(copyItemSchema),
  /** `readback`: from the disk, and not from memory. */
  verify: z.enum(VERIFY_LEVELS),
});

/**
 * All files are there. `pages` pages of the plan, from `GET /workers/plan/{request_id}?page=N&pages=M`, say what the tree is: hard links
 * are made, what the source does not have is removed where that is asked for, directories get modes and times, and the staging
 * of the request is removed.
 */
const closeWorkSchema = z.object({
  kind: z.literal("close"),
  unit: z.string(),
  destination: placeSchema,
  pages: z.int().min(0),
  /** Left out by an earlier hub: there may be some. */
  has_hardlinks: z.boolean().default(true),
  delete_extraneous: z.boolean(),
  preserve: preserveSchema,
});

/** The request was cancelled: its staging is removed, and nothing is left that writes for it. */
const discardWorkSchema = z.object({ kind: z.literal("discard"), unit: z.string(), destination: placeSchema });

/** For a worker that sent the plain heartbeat: the whole of `source_path`, by whatever means it has. */
const plainWorkSchema = z.object({ kind: z.literal("plain") });

export const workSchema = z.discriminatedUnion("kind", [
  listWorkSchema,
  copyWorkSchema,
  serveWorkSchema,
  finishWorkSchema,
  hashWorkSchema,
  closeWorkSchema,
  discardWorkSchema,
  plainWorkSchema,
]);
export type Work = z.output<typeof workSchema>;
export type WorkKind = Work["kind"];
export type WorkOf<Kind extends WorkKind> = Extract<Work, { kind: Kind }>;

/** Body of `POST /workers/{id}/assignment?wait=S`; may be left out. */
export const assignmentAskSchema = z.object({
  /** How many leases more it can take now. 0: none but `serve`, for which somebody waits. */
  free: z.int().min(0).max(1000).default(1),
  /** Which process of the worker asks. */
  boot_id: z.string().max(100).optional(),
  /** All that it has at this moment: what was given in an answer that never came is given again at once. */
  leases: z.array(z.string().max(200)).max(1100).optional(),
});

export type AssignmentAsk = z.input<typeof assignmentAskSchema>;

export const MAX_ASSIGNMENT_WAIT_SECONDS = 30;

/** What the poll answers; `null`: nothing to do. The first eight are as ever; workers that renew leases use the rest. */
export const assignmentSchema = z.object({
  request_id: requestIdSchema,
  worker_id: workerIdSchema,
  source_path: z.string(),
  destination_path: z.string(),
  /** Of the first item. */
  chunk_offset: z.int().min(0),
  chunk_size: z.int().min(0),
  source_worker_pool: z.array(workerIdSchema),
  destination_worker_pool: z.array(workerIdSchema),
  lease_id: z.string(),
  attempt: z.int().min(1),
  /**
   * When the request was taken, ms since 1970. A hub whose store was emptied has forgotten it; asked for once more it begins with attempt 1
   * again, and what was given out before is older than that all the same.
   */
  requested_ms: z.int().min(0).default(0),
  /** Seconds after the last heartbeat that named the lease. */
  ttl_seconds: z.number(),
  work: workSchema,
});
export type Assignment = z.output<typeof assignmentSchema>;
