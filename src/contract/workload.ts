import { z } from "zod";
import { workloadIdSchema } from "./identifier.ts";
import { coresQuantitySchema, memoryQuantitySchema } from "./quantity.ts";
import { sessionPowerSchema, sessionRunSpecSchema } from "./session-spec.ts";
import { streamSpecSchema } from "./stream-spec.ts";
import { tunnelSpecSchema } from "./tunnel-spec.ts";

/** What one workload may use at most; the box has defaults and ceilings of its own (`guard.*`). */
export const resourcesSchema = z.object({
  memory: memoryQuantitySchema.optional(),
  cpu: coresQuantitySchema.optional(),
});

/** Who gives first when something must: the lowest. */
export const DEFAULT_PRIORITY = 50;

/**
 * Where a browser can watch the workload live: FLV or MPEG-TS, over HTTP or a WebSocket. Whoever may see the workload sees it, so
 * it carries no credentials.
 */
const pictureUrlSchema = z
  .url({ protocol: /^(?:https?|wss?)$/, error: "must be an http, https, ws or wss address" })
  .max(2000)
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url === undefined || (url.username === "" && url.password === "");
  }, "must not carry a user or a password");

const commonFields = {
  id: workloadIdSchema,
  name: z.string().max(200).optional(),
  priority: z.int().min(0).max(100).optional(),
  resources: resourcesSchema.optional(),
};

export const sessionWorkloadSchema = z.object({
  kind: z.literal("session"),
  ...commonFields,
  /** Absent: it is to run, and nobody has wished otherwise. */
  power: sessionPowerSchema.optional(),
  spec: sessionRunSpecSchema,
});

/**
 * One thing a box must keep running. `priority`, `resources`, `pictureUrl` and `power` are no part of its spec: a change restarts
 * nothing.
 */
export const workloadSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("stream"),
    ...commonFields,
    pictureUrl: pictureUrlSchema.optional(),
    spec: streamSpecSchema,
  }),
  z.object({ kind: z.literal("tunnel"), ...commonFields, spec: tunnelSpecSchema }),
  sessionWorkloadSchema,
]);

export type Workload = z.output<typeof workloadSchema>;
export type WorkloadKind = Workload["kind"];
export type StreamWorkload = Extract<Workload, { readonly kind: "stream" }>;
export type SessionWorkload = Extract<Workload, { readonly kind: "session" }>;
export type TunnelWorkload = Extract<Workload, { readonly kind: "tunnel" }>;

/**
 * Where a workload stands on its box:
 * - `waiting`: not running, the next start is due at a known time;
 * - `starting`: launched, not yet proved (a stream: no media yet; a tunnel: not yet proved);
 * - `running`: proved to do its work;
 * - `degraded`: running, but not as it should (a stream: slower than real time; a tunnel: its last proof failed);
 * - `stalled`: its process lives and does nothing useful;
 * - `stopping`: told to stop, not yet gone;
 * - `hibernated`: a session that sleeps; nothing is wrong;
 * - `ended`: a session that has done its work, or had its time; it is not started again;
 * - `unkillable`: survived SIGKILL (uninterruptible sleep); nothing is started in its place;
 * - `refused`: the box's policy or the spec itself does not allow it.
 */
export const WORKLOAD_STATES = [
  "waiting",
  "starting",
  "running",
  "degraded",
  "stalled",
  "stopping",
  "hibernated",
  "ended",
  "unkillable",
  "refused",
] as const;
export type WorkloadState = (typeof WORKLOAD_STATES)[number];
