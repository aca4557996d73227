import { z } from "zod";
import { linkStatusSchema, workloadStatusSchema } from "./local-status.ts";

/** `POST /v1/boxes/{box}/report`: what a box says of itself. A full picture each time, so that a lost one costs nothing. */
export const reportSchema = z.object({
  version: z.literal(1),
  /** Grows by one for each report of this agent process; with `session` it orders them. */
  sequence: z.int().min(1),
  /** New for each agent process. */
  session: z.string(),
  sentAt: z.string(),
  boxId: z.string(),
  bootId: z.string(),
  agentVersion: z.string(),
  verdict: z.enum(["reboot", "restart", "first"]),
  applied: z.object({ epoch: z.string().optional(), revision: z.int().optional() }),
  link: linkStatusSchema,
  workloads: z.array(workloadStatusSchema),
  /** What happened since the last report: starts, exits, bad inputs. Oldest first, bounded. */
  occurrences: z.array(
    z.object({ at: z.string(), kind: z.string(), workloadId: z.string().optional(), text: z.string() }),
  ),
  /** Occurrences lost because the queue was full while nobody could be told. */
  dropped: z.int(),
  commandResults: z.array(z.object({ id: z.string(), ok: z.boolean(), text: z.string(), finishedAt: z.string() })),
});
export type Report = z.output<typeof reportSchema>;
export type Occurrence = Report["occurrences"][number];
