import { z } from "zod";
import { workloadIdSchema } from "../../contract/identifier.ts";

/**
 * One workload in `registry.json`. With `pid`, `startTicks`, `bootId` and `nonce` it is the proof that a process is
 * ours; without `pid` it is an intent (`starting`) or a memory (`waiting`).
 */
export const registryRecordSchema = z.object({
  id: workloadIdSchema,
  kind: z.string().min(1).max(40),
  phase: z.enum(["starting", "running", "stopping", "waiting"]),
  pid: z.int().positive().optional(),
  /** Field 22 of `/proc/PID/stat`. */
  startTicks: z.number().nonnegative().optional(),
  /** Absent: the first. While two processes of a workload run there is a record for each. */
  lane: z.literal(1).optional(),
  /** Started beside its old self and not yet proved; or the old self that is being stopped. Absent: the workload itself. */
  role: z.enum(["successor", "predecessor"]).optional(),
  /** Keys of what its process uses, sorted out by the agent that launched it. */
  claims: z.array(z.string().max(200)).max(100).optional(),
  bootId: z.string(),
  nonce: z.string(),
  specHash: z.string(),
  generation: z.int().nonnegative(),
  restarts: z.int().nonnegative(),
  /** Failures since it last was healthy for long enough. */
  failures: z.int().nonnegative(),
  /** It sleeps, or has done its work: its next start is a wake and no restart. */
  hasRested: z.literal(true).optional(),
  /** Wall time of the last change of phase, milliseconds. */
  sinceMs: z.number(),
  lastExit: z
    .object({
      atMs: z.number(),
      code: z.int().nullable(),
      signal: z.string().nullable(),
      class: z.string(),
      /** Secrets already taken out. */
      evidence: z.string().optional(),
    })
    .optional(),
});

export type RegistryRecord = z.output<typeof registryRecordSchema>;
