import { z } from "zod";
import { linkStatusSchema, workloadStatusSchema } from "./local-status.ts";
import { detachedEndSchema, MAX_DETACHED_ENDS } from "./remote/detached-end.ts";
import { remoteKeySchema } from "./remote/remote-key-schema.ts";
import { sessionFactsSchema } from "./session-status.ts";
import { tunnelFactsSchema } from "./tunnel-status.ts";

/** What the machine itself has and uses. A field that this machine cannot tell is left out. */
export const nodeTelemetrySchema = z.object({
  /** Of all cores together, since the reading before. */
  cpuPercent: z.number().optional(),
  cores: z.int().optional(),
  /** Of the last 1, 5 and 15 minutes. */
  load: z.tuple([z.number(), z.number(), z.number()]).optional(),
  /** `usedBytes`: what is not available to programs. */
  memory: z.object({ totalBytes: z.number(), usedBytes: z.number() }).optional(),
  /** The file systems of the state directory and of the file roots, each once. `usedBytes`: what nobody without rights can have. */
  disks: z.array(z.object({ path: z.string(), totalBytes: z.number(), usedBytes: z.number() })).optional(),
  /** Of all interfaces but the loopback, since the reading before. */
  network: z.object({ receivedBytesPerSecond: z.number(), sentBytesPerSecond: z.number() }).optional(),
  /** The hottest sensor. */
  temperatureC: z.number().optional(),
  uptimeSeconds: z.number().optional(),
});
export type NodeTelemetry = z.output<typeof nodeTelemetrySchema>;

export const incidentSchema = z.object({
  kind: z.string(),
  cause: z.string(),
  start: z.string(),
  /** Absent: it goes on. */
  end: z.string().optional(),
});

/**
 * `POST /v1/boxes/{box}/report`: what a box says of itself, the full picture. What is different since an earlier one:
 * `report-delta.ts`. Fields that came after the first release are optional.
 */
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
  startedAt: z.string().optional(),
  /** What this agent can do beyond the first release: `command:<name>` for each command it takes. */
  capabilities: z.array(z.string()).optional(),
  /** X25519 key by which operators of remote sessions know this box. */
  remoteKey: remoteKeySchema.optional(),
  /** Commands of remote sessions that went on without their operators, and have ended: the last of them. */
  remoteEnds: z.array(detachedEndSchema).max(MAX_DETACHED_ENDS).optional(),
  applied: z.object({ epoch: z.string().optional(), revision: z.int().optional() }),
  link: linkStatusSchema,
  /** `durable: false`: what the agent knows would not survive it, as on a full disk. */
  registry: z.object({ durable: z.boolean(), reason: z.string().optional() }).optional(),
  node: nodeTelemetrySchema.optional(),
  tunnels: tunnelFactsSchema.optional(),
  sessions: sessionFactsSchema.optional(),
  /** What hits or has hit the whole box: open ones first, then the last that ended. */
  incidents: z.array(incidentSchema).optional(),
  workloads: z.array(workloadStatusSchema),
  /** Workloads that were left out, because the report would have been too large with them. */
  omittedWorkloads: z.int().optional(),
  /** What happened since the last report: starts, exits, bad inputs. Oldest first, bounded. */
  occurrences: z.array(
    z.object({
      at: z.string(),
      kind: z.string(),
      workloadId: z.string().optional(),
      text: z.string(),
      /** With `kind: "gap"`: the time without media that has ended. */
      gap: z.object({ start: z.string(), end: z.string(), seconds: z.number(), cause: z.string() }).optional(),
      /** With `kind: "incident"`: it began, or it ended. */
      incident: incidentSchema.optional(),
    }),
  ),
  /** Occurrences lost because the queue was full while nobody could be told. */
  dropped: z.int(),
  commandResults: z.array(z.object({ id: z.string(), ok: z.boolean(), text: z.string(), finishedAt: z.string() })),
});
export type Report = z.output<typeof reportSchema>;
export type Occurrence = Report["occurrences"][number];
