import { z } from "zod";
import { IDENTIFIER_PATTERN } from "../identifier-pattern.ts";
import { ticketKeySchema } from "../remote/ticket-key.ts";
import { absolutePathSchema } from "./transfer-path.ts";

/** A box's id, or `BOX.name` of one of several workers of a box. */
export const workerIdSchema = z
  .string()
  .regex(IDENTIFIER_PATTERN, "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -");

export const WORKER_STATES = ["IDLE", "TRANSFERRING", "ERROR"] as const;

/** `10.0.0.5:8470`, `[2001:db8::5]:8470`, `box.example:8470`. */
const endpointAddressSchema = z.string().min(1).max(300);

/** Where others reach a worker. `trusted`: nobody else is on that network, so bytes may go in the clear. */
export const endpointSchema = z.object({
  address: endpointAddressSchema,
  iface: z.string().max(64).optional(),
  trusted: z.boolean().default(false),
});
export type Endpoint = z.output<typeof endpointSchema>;

export const storageIdSchema = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, "must be 8 to 64 letters, digits, - or _");
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hexadecimal digits");

export const workerStorageSchema = z.object({
  /** Kept on the storage itself: the same one mounted twice has one id. */
  id: storageIdSchema,
  path: absolutePathSchema,
  read: z.boolean(),
  write: z.boolean(),
  free_bytes: z.int().min(0).optional(),
  total_bytes: z.int().min(0).optional(),
  /**
   * What this worker has left on the storage at its start, and what it finds there of others. An id may have been cloned with a
   * disk; two workers have one storage where one of them sees the other's mark.
   */
  mark: z.string().min(8).max(64).optional(),
  seen_marks: z.array(z.string().max(64)).max(256).default([]),
});
export type WorkerStorage = z.output<typeof workerStorageSchema>;

/** How bytes of a lease come: within one storage, over a connection that this end or the other has opened, or through a router. */
export const TRANSFER_WAYS = ["local", "destination", "source", "router"] as const;
export type TransferWay = (typeof TRANSFER_WAYS)[number];

/** What a box lets its transfers use. `direct`: connections between boxes, whoever dials. */
export const ALLOWED_WAYS = ["direct", "router"] as const;
export type AllowedWay = (typeof ALLOWED_WAYS)[number];

export const leaseProgressSchema = z.object({
  lease_id: z.string().max(200),
  attempt: z.int().min(1),
  /** Of this lease, so far. */
  transferred_bytes: z.int().min(0).default(0),
  /** Bytes a second, lately. */
  rate: z.number().min(0).default(0),
  /** Of a copy, once it has begun. */
  way: z.enum(TRANSFER_WAYS).optional(),
});
export type LeaseProgress = z.output<typeof leaseProgressSchema>;

/** `POST /workers/heartbeat`. The first six are all that a worker written by hand needs; a lease in `leases` is renewed. */
export const workerHeartbeatSchema = z.object({
  worker_id: workerIdSchema,
  status: z.enum(WORKER_STATES),
  timestamp: z.string().max(64).optional().describe("The sender's clock; shown, and never judged by."),
  control_plane_address: z.string().max(300).optional(),
  data_plane_endpoints: z
    .array(z.union([endpointAddressSchema.transform((address) => ({ address, trusted: false })), endpointSchema]))
    .max(32)
    .default([]),
  /** Left out: an earlier worker, which knows no router. */
  ways: z.array(z.enum(ALLOWED_WAYS)).default(["direct"]),
  storage_paths: z.array(absolutePathSchema).max(64).default([]),
  /** Instead of `storage_paths`, of a worker that knows the whole protocol. */
  storages: z.array(workerStorageSchema).max(64).optional(),
  /** Of its configuration, those that cannot be used now: not mounted, say. */
  storage_problems: z
    .array(z.object({ path: absolutePathSchema, problem: z.string().max(1000) }))
    .max(64)
    .default([]),
  /** SHA-256 over the DER of the certificate that its data plane shows. */
  certificate_sha256: sha256Schema.optional(),
  /** Of `worker-ability.ts`, and of later versions: what it can that not every worker can. */
  abilities: z.array(z.string().max(64)).max(64).default([]),
  boot_id: z.string().max(64).optional(),
  /** Grows with each heartbeat of a boot: an older one that comes late is passed over. */
  sequence: z.int().min(0).optional(),
  version: z.string().max(64).optional(),
  leases: z.array(leaseProgressSchema).max(1000).default([]),
});
export type WorkerHeartbeatInput = z.input<typeof workerHeartbeatSchema>;
export type WorkerHeartbeat = z.output<typeof workerHeartbeatSchema>;

export const heartbeatAnswerSchema = z.object({
  status: z.literal("ok"),
  /** Send the next one after so many seconds. */
  heartbeat_seconds: z.number(),
  /** Leases among those it named that are not its any more: stop them. */
  revoked: z.array(z.object({ lease_id: z.string(), reason: z.string() })),
  /** Of those it named: what each may take from now on. One that is not in here keeps what it was given. */
  rates: z.array(z.object({ lease_id: z.string(), rate_bytes_s: z.number().positive() })).default([]),
  /** What tickets are verified with. */
  ticket_keys: z.array(ticketKeySchema),
});
export type HeartbeatAnswer = z.output<typeof heartbeatAnswerSchema>;
