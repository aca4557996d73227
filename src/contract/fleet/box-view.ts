import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { sessionFactsSchema } from "../session-status.ts";
import { flagSchema, instantSchema, pageQuerySchema } from "./page.ts";
import { labelsSchema, selectorTextSchema } from "./selector.ts";

export const BOX_STATES = ["pending", "approved", "revoked"] as const;

/**
 * - `online`: it reports, and its event stream is open or was a moment ago;
 * - `degraded`: it reports, and something about the box itself is not as it should be, or its reports come late;
 * - `offline`: nothing was heard for longer than the hub waits;
 * - `never`: nothing was heard yet.
 */
export const BOX_CONNECTIONS = ["online", "degraded", "offline", "never"] as const;
export type BoxConnection = (typeof BOX_CONNECTIONS)[number];

export const incidentViewSchema = z.object({
  kind: z.string(),
  cause: z.string(),
  start: instantSchema,
  end: instantSchema.optional(),
});

export const boxNameSchema = z.string().trim().min(1).max(100);

/** A box, as people see it. */
export const boxViewSchema = z.object({
  id: boxIdSchema,
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  revision: z.int(),
  state: z.enum(BOX_STATES),
  draining: z.boolean(),
  quarantine: z.object({ since: instantSchema, reason: z.string() }).optional(),
  connection: z.enum(BOX_CONNECTIONS),
  lastContactAt: instantSchema.optional(),
  agentVersion: z.string().optional(),
  verdict: z.enum(["reboot", "restart", "first"]).optional(),
  bootId: z.string().optional(),
  applied: z.object({ epoch: z.string().optional(), revision: z.int().optional() }).optional(),
  expectedRevision: z.int(),
  incidents: z.array(incidentViewSchema),
  workloads: z.object({ total: z.int(), running: z.int(), unwell: z.int() }),
  node: z
    .object({
      cpuPercent: z.number().optional(),
      memoryPercent: z.number().optional(),
      diskPercent: z.number().optional(),
      temperatureC: z.number().optional(),
    })
    .optional(),
  /** What it can run sessions with. Absent: it has not said. */
  sessions: sessionFactsSchema.optional(),
  /** What its policy lets operators do on it from afar: `exec`, `shell`, `forward`, `rsync`. Absent: it has not said. */
  remote: z.array(z.string()).optional(),
  createdAt: instantSchema,
});
export type BoxView = z.output<typeof boxViewSchema>;

export const boxListQuerySchema = pageQuerySchema.extend({
  labels: selectorTextSchema.optional(),
  state: z.enum(BOX_STATES).optional(),
  connection: z.enum(BOX_CONNECTIONS).optional(),
  draining: flagSchema.optional(),
  text: z.string().max(200).optional().describe("Part of the id or the name, in any case."),
});

/** What a person may change. What is left out stays as it is; `labels` replaces all labels. */
export const boxPatchSchema = z.strictObject({
  name: boxNameSchema.optional(),
  labels: labelsSchema.optional(),
  draining: z.boolean().optional(),
});
export type BoxPatchBody = z.input<typeof boxPatchSchema>;

export const boxPathSchema = z.object({ box: boxIdSchema });

/** What went wrong on a box and how its agent started, newest first. */
export const boxHistoryViewSchema = z.object({
  incidents: z.array(incidentViewSchema),
  gaps: z.array(
    z.object({ workload: z.string(), cause: z.string(), start: instantSchema, end: instantSchema.optional() }),
  ),
  starts: z.array(
    z.object({
      at: instantSchema,
      verdict: z.enum(["reboot", "restart", "first"]),
      bootId: z.string(),
      agentVersion: z.string(),
    }),
  ),
});
export type BoxHistoryView = z.output<typeof boxHistoryViewSchema>;

/** Counts for the first page of a dashboard. */
export const overviewSchema = z.object({
  boxes: z.object({
    total: z.int(),
    pending: z.int(),
    revoked: z.int(),
    draining: z.int(),
    quarantined: z.int(),
    online: z.int(),
    degraded: z.int(),
    offline: z.int(),
    never: z.int(),
  }),
  workloads: z.object({ expected: z.int(), hibernated: z.int(), running: z.int(), unwell: z.int() }),
  /** `unwell`: those that ought to run and do not as they should. Absent: the hub is of a release without sessions. */
  sessions: z
    .object({ total: z.int(), running: z.int(), hibernated: z.int(), unplaced: z.int(), unwell: z.int() })
    .optional(),
  alerts: z.object({ firing: z.int() }),
  incidents: z.int(),
  hub: z.object({ id: z.string(), version: z.string(), now: instantSchema }),
});
export type Overview = z.output<typeof overviewSchema>;
