import { z } from "zod";
import { ALLOWED_WAYS, endpointSchema, workerIdSchema } from "./worker-heartbeat.ts";

/** How a transfer worker is begun: the argument of `transfer-worker`, as JSON. Never a secret. */
export const workerConfigSchema = z.object({
  workerId: workerIdSchema,
  version: z.string(),
  /** For its log, `transfer.log`. */
  logDirectory: z.string(),
  storages: z.array(z.object({ path: z.string(), read: z.boolean(), write: z.boolean() })),
  /** Absent: nobody can dial this worker. */
  listen: z.object({ host: z.string(), port: z.int() }).optional(),
  endpoints: z.array(endpointSchema),
  ways: z.array(z.enum(ALLOWED_WAYS)),
  /** Leases at a time. */
  maxStreams: z.int().min(1),
  /** Bytes a second, for all transfers of this worker, each way. */
  maxBytesPerSecond: z.number().optional(),
});
export type WorkerConfig = z.output<typeof workerConfigSchema>;

/**
 * What the agent tells its worker on its standard input: one JSON line at the start and at each change. The input's end is the
 * worker's end: it never outlives the agent.
 */
export const workerCredentialsSchema = z.object({
  hub: z.string(),
  key: z.string().optional(),
  ca: z.string().optional(),
  /** What the box shows to a hub that asks for a certificate, PEM. */
  client: z.object({ cert: z.string(), key: z.string() }).optional(),
  /** What the data plane shows to other workers, PEM. */
  identity: z.object({ cert: z.string(), key: z.string() }),
});
export type WorkerCredentials = z.output<typeof workerCredentialsSchema>;
