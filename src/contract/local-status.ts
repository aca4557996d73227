import { z } from "zod";
import { HEALTH_CAUSES } from "./health-cause.ts";
import { sessionStatusSchema } from "./session-status.ts";
import { tunnelStatusSchema } from "./tunnel-status.ts";
import { WORKLOAD_STATES } from "./workload.ts";

/** Answers of the agent's local API (`agent.sock`) and the parts of a report. Times are ISO 8601 wall time; ages are seconds. */

export const LINK_STATES = ["off", "connecting", "live", "waiting", "degraded"] as const;

/**
 * Why the resource guard holds a workload back: no room on the processors for a new one (`admission`), it gave way to
 * others (`shed-cpu`, `shed-memory`), or the disk has no room for what it records (`disk`; `disk-partly`: for some of it).
 */
export const HOLDERS = ["admission", "shed-cpu", "shed-memory", "disk", "disk-partly"] as const;

/** Finished recordings of a stream whose rule moves them. */
const segmentCountsSchema = z.object({
  /** All that have arrived under the rule, also of earlier agents. */
  moved: z.int(),
  /** Finished, and neither arrived nor failed. */
  waiting: z.int(),
  /** Tried again by itself. */
  failed: z.int(),
  /** The last thing that kept one here, also when it is over; `at` is when that began. */
  lastError: z.object({ at: z.string(), message: z.string() }).optional(),
});
export type SegmentCounts = z.output<typeof segmentCountsSchema>;

export const workloadStatusSchema = z.object({
  id: z.string(),
  kind: z.string(),
  name: z.string().optional(),
  /** What it does, secrets masked: `rtsp://cam/1 → rtmp://host/live/***`. */
  description: z.string(),
  state: z.enum(WORKLOAD_STATES),
  /** Why it is in that state, in one line. */
  cause: z.string().optional(),
  /** Who is to blame for it, where something is wrong. */
  fault: z.enum(HEALTH_CAUSES).optional(),
  pid: z.int().optional(),
  generation: z.int(),
  /** Starts after the first one, since the workload was last changed or woken. */
  restarts: z.int(),
  since: z.string(),
  nextStartInSeconds: z.number().optional(),
  lastExit: z
    .object({
      at: z.string(),
      code: z.int().nullable(),
      signal: z.string().nullable(),
      class: z.string(),
      /** The line of the workload's own output that shows the cause. */
      evidence: z.string().optional(),
    })
    .optional(),
  media: z
    .object({
      fps: z.number().optional(),
      bitrateKbit: z.number().optional(),
      /** Media seconds a second. */
      speed: z.number().optional(),
      outTimeSeconds: z.number().optional(),
      totalBytes: z.number().optional(),
      frames: z.number().optional(),
      droppedFrames: z.number().optional(),
    })
    .optional(),
  /**
   * The way to its new settings, while it still runs with the old ones: `proving` (the new process runs beside the old
   * one), `replacing` (the new one has taken over, the old one ends), `failed` (the old one goes on, the next attempt is
   * due), `waiting` (another workload has what the new settings need).
   */
  update: z
    .object({
      state: z.enum(["proving", "replacing", "failed", "waiting"]),
      message: z.string(),
      /** Of the other process. */
      generation: z.int().optional(),
      pid: z.int().optional(),
      nextTryInSeconds: z.number().optional(),
    })
    .optional(),
  /** Who has what it needs, or who must bring it. */
  waitsFor: z.object({ what: z.string(), holder: z.string() }).optional(),
  /** Of a tunnel's end. */
  tunnel: tunnelStatusSchema.optional(),
  session: sessionStatusSchema.optional(),
  segments: segmentCountsSchema.optional(),
  /** Media that was proved, against the time since the first start in which it was expected. */
  proof: z
    .object({
      since: z.string(),
      expectedSeconds: z.number(),
      provenSeconds: z.number(),
      /** Rounded down: 100 means that nothing was missing. */
      percent: z.number(),
      gapCount: z.int(),
      /** Gaps that have ended, by cause; `other` for what is one cause too many. */
      byCause: z.record(z.string(), z.object({ count: z.int(), seconds: z.number() })).default({}),
      /** The last ones, oldest first. One without an end is open. */
      gaps: z.array(
        z.object({ start: z.string(), end: z.string().optional(), seconds: z.number(), cause: z.string() }),
      ),
    })
    .optional(),
  cpuPercent: z.number().optional(),
  rssBytes: z.number().optional(),
  /** 0 to 100: the lowest gives way first. */
  priority: z.int().optional(),
  /** What it may use, and who sees to that: the kernel, or the agent that measures it. */
  limits: z
    .object({
      memoryBytes: z.number().optional(),
      cpuCores: z.number().optional(),
      by: z.enum(["cgroup", "measuring"]),
    })
    .optional(),
  /** The resource guard keeps it from running, or (`disk-partly`) from recording. */
  held: z.object({ by: z.enum(HOLDERS), reason: z.string() }).optional(),
});
export type WorkloadStatus = z.output<typeof workloadStatusSchema>;

export const linkStatusSchema = z.object({
  state: z.enum(LINK_STATES),
  endpoint: z.string(),
  since: z.string(),
  /** Attempts since an event last arrived. */
  attempts: z.int(),
  /** Why the last attempt or connection ended. */
  reason: z.string().optional(),
  nextAttemptInSeconds: z.number().optional(),
  lastByteAt: z.string().optional(),
  connects: z.int(),
  events: z.int(),
  /** Events that were skipped, by reason (`not-json`, `invalid`, `too-large`, `too-deep`). */
  badEvents: z.record(z.string(), z.int()),
  lastBadEvent: z.string().optional(),
});
export type LinkStatus = z.output<typeof linkStatusSchema>;

export const agentStatusSchema = z.object({
  version: z.literal(1),
  agentVersion: z.string(),
  boxId: z.string(),
  boxName: z.string().optional(),
  pid: z.int(),
  startedAt: z.string(),
  verdict: z.enum(["reboot", "restart", "first"]),
  bootId: z.string(),
  link: linkStatusSchema,
  expected: z.object({
    epoch: z.string().optional(),
    revision: z.int().optional(),
    workloads: z.int(),
    /** Removals that the shrink guard holds back. */
    held: z.object({ ids: z.array(z.string()), appliesInSeconds: z.number(), reason: z.string() }).optional(),
  }),
  registry: z.object({ durable: z.boolean(), reason: z.string().optional() }),
  report: z.object({
    state: z.enum(["off", "ok", "failing"]),
    queued: z.int(),
    dropped: z.int(),
    reason: z.string().optional(),
  }),
  /** The hub knows this box and keeps it waiting: `pending` (a person has to approve it) or `quarantined`. */
  hold: z.object({ reason: z.string(), since: z.string() }).optional(),
  /** How this box came to its hub; absent where it goes to its server with no key of its own. */
  enrolment: z
    .object({
      hub: z.string(),
      state: z.enum(["enrolling", "enrolled"]),
      reason: z.string().optional(),
      keySince: z.string().optional(),
    })
    .optional(),
  /** What hits or has hit the whole box: open ones first, then those that ended last. */
  incidents: z
    .array(z.object({ kind: z.string(), cause: z.string(), start: z.string(), end: z.string().optional() }))
    .default([]),
  /** What the resource guard sees of the box. */
  guard: z
    .object({
      limitsBy: z.enum(["cgroup", "measuring"]),
      /** Of all processors, over the last seconds; only where a rule needs it. */
      cpuPercent: z.number().optional(),
      memoryTotalBytes: z.number().optional(),
      memoryAvailableBytes: z.number().optional(),
      /** File roots that streams write to; `paused`: why nothing is recorded there. */
      roots: z.array(
        z.object({
          root: z.string(),
          freeBytes: z.number().optional(),
          recordedBytes: z.number().optional(),
          paused: z.string().optional(),
        }),
      ),
    })
    .optional(),
  /** What operators may do here from afar; empty: nothing. `fingerprint`: of the key by which they know this box. */
  remote: z.object({ allows: z.array(z.string()), fingerprint: z.string().optional() }).optional(),
  /** Inputs that were refused or skipped since the start, by kind. */
  badInputs: z.record(z.string(), z.int()),
  workloads: z.array(workloadStatusSchema),
});
export type AgentStatus = z.output<typeof agentStatusSchema>;

/** Why a workload is in its state: the answer of `sluice explain`. */
export const explanationSchema = z.object({
  id: z.string(),
  /** `undefined` when nothing expects it and nothing of it runs. */
  status: workloadStatusSchema.optional(),
  /** Sentences in the order in which a person asks: expected by what, what runs, last exit, what happens next. */
  because: z.array(z.string()),
});
export type Explanation = z.output<typeof explanationSchema>;

export const reconcileResultSchema = z.object({ kept: z.int(), started: z.int(), stopped: z.int() });
export type ReconcileResult = z.output<typeof reconcileResultSchema>;

/**
 * Which processes `sluice cleanup` ends, of those that prove to be ours:
 * - `strays`: what belongs to no workload that runs;
 * - `previous`: those too, and all that was started before this agent;
 * - `all`: every one.
 */
export const CLEANUP_SCOPES = ["strays", "previous", "all"] as const;

export interface CleanupWish {
  /** Only say what would be ended. */
  readonly dryRun: boolean;
  readonly scope: (typeof CLEANUP_SCOPES)[number];
  /** Nothing but the ends of this tunnel, all of them. */
  readonly tunnel?: string | undefined;
}

/** What `sluice cleanup` found and did, one entry a process. */
export const cleanupResultSchema = z.object({
  processes: z.array(
    z.object({
      /** Absent where it is no process of this box; then `label` names it. */
      pid: z.int().optional(),
      label: z.string().optional(),
      workloadId: z.string(),
      generation: z.int(),
      outcome: z.enum(["kept", "stopped", "would-stop", "unkillable"]),
      reason: z.string(),
    }),
  ),
  /** Marks of starts that were removed, because nothing of them is left. */
  marksRemoved: z.int().optional(),
});
export type CleanupResult = z.output<typeof cleanupResultSchema>;
