import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { workloadStatusSchema } from "../local-status.ts";
import {
  SESSION_PLATFORMS,
  sessionIdSchema,
  sessionPowerSchema,
  sessionSpecSchema,
  volumeRuleSchema,
} from "../session-spec.ts";
import { sessionStatusSchema } from "../session-status.ts";
import { flagSchema, instantSchema, pageQuerySchema } from "./page.ts";
import { selectorTextSchema } from "./selector.ts";

/**
 * Where a session stands, as the hub sees it:
 * - `unplaced`: no box can take it now; each box's reason is told, and it is placed as soon as one can;
 * - `pending`: its box has not said yet that it knows of it;
 * - `starting`, `running`, `degraded`, `ended`: as its box says;
 * - `failing`: it does not run, and its box tries again;
 * - `refused`: its box does not allow it;
 * - `hibernating`, `hibernated`, `waking`: between the wish and what its box says;
 * - `stopping`: taken away from its box, which has not said yet that nothing of it runs;
 * - `lost`: its box is not heard.
 */
export const SESSION_STATES = [
  "unplaced",
  "pending",
  "starting",
  "running",
  "degraded",
  "failing",
  "refused",
  "hibernating",
  "hibernated",
  "waking",
  "ended",
  "stopping",
  "lost",
] as const;
export type SessionState = (typeof SESSION_STATES)[number];

/** `POST /v1/sessions`, and `PUT /v1/sessions/{id}`. */
export const sessionWishSchema = z.strictObject({
  ...sessionSpecSchema.shape,
  /** For people. */
  name: z.string().trim().min(1).max(100).optional(),
  /** The box that runs it. Left out: the hub chooses one, and may choose another when that one is drained. */
  box: boxIdSchema.optional(),
  /** Boxes to choose from. Left out: all. */
  select: selectorTextSchema.optional(),
  /**
   * Once its box was not heard for two minutes. Absent: `wait`. `move` starts it on another box, while the lost one may still run it
   * where nobody sees it; when that one is heard again, its copy is ended.
   */
  onLost: z.enum(["wait", "move"]).optional(),
});
export type SessionWish = z.output<typeof sessionWishSchema>;

export const placementSchema = z.object({
  box: boxIdSchema.optional(),
  /** Why it was that one; or that there is none. */
  reason: z.string(),
  at: instantSchema,
  /** Every box that was not taken, with the first rule that spoke against it; at most a hundred, the nearest first. */
  passedOver: z.array(z.object({ box: boxIdSchema, reason: z.string() })),
});
export type Placement = z.output<typeof placementSchema>;

export const sessionViewSchema = z.object({
  id: sessionIdSchema,
  revision: z.int(),
  name: z.string().optional(),
  user: z.string(),
  state: z.enum(SESSION_STATES),
  /** In one line. */
  reason: z.string().optional(),
  since: instantSchema,
  box: boxIdSchema.optional(),
  placement: placementSchema.optional(),
  power: sessionPowerSchema,
  /** As its box last told it. */
  session: sessionStatusSchema.optional(),
  workload: workloadStatusSchema
    .pick({
      state: true,
      cause: true,
      restarts: true,
      lastExit: true,
      cpuPercent: true,
      rssBytes: true,
      nextStartInSeconds: true,
    })
    .optional(),
  /** What was asked for, secrets masked. */
  wish: sessionWishSchema,
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type SessionView = z.output<typeof sessionViewSchema>;

/** `POST /v1/sessions`. */
export const sessionCreateQuerySchema = z.object({
  dryRun: flagSchema.optional().describe("Say where it would be placed and why, and write nothing."),
});

export const sessionPathSchema = z.object({ id: sessionIdSchema });

export const sessionListQuerySchema = pageQuerySchema.extend({
  box: boxIdSchema.optional(),
  user: z.string().max(63).optional(),
  state: z.enum(SESSION_STATES).optional(),
  platform: z.enum(SESSION_PLATFORMS).optional(),
});

/** `DELETE /v1/sessions/{id}`; `POST /v1/sessions/{id}/hibernate`, `…/wake` and `…/touch` have neither query nor body. All answer the view. */
export const sessionStopQuerySchema = z.object({
  volumes: volumeRuleSchema.optional().describe("What becomes of its volumes, whatever its spec says."),
});
