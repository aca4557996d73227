import { z } from "zod";
import { boxIdSchema, workloadIdSchema } from "../identifier.ts";
import { workloadStatusSchema } from "../local-status.ts";
import { WORKLOAD_STATES, workloadSchema } from "../workload.ts";
import { pageQuerySchema } from "./page.ts";
import { selectorTextSchema } from "./selector.ts";

export const DESIRED = ["running", "hibernated"] as const;
export const MAX_WORKLOADS_A_BOX = 2000;

/** A workload that a box should run, and what the box last said of it. Secrets in URLs are shown as `***`. */
export const expectedEntryViewSchema = z.object({
  workload: workloadSchema,
  /** `rollout/<id>`; absent for what a person put there. */
  owner: z.string().optional(),
  desired: z.enum(DESIRED),
  status: workloadStatusSchema.optional(),
});
export type ExpectedEntryView = z.output<typeof expectedEntryViewSchema>;

/** What a box should run. */
export const expectedViewSchema = z.object({
  epoch: z.string(),
  revision: z.int(),
  items: z.array(expectedEntryViewSchema),
});
export type ExpectedView = z.output<typeof expectedViewSchema>;

export const workloadPathSchema = z.object({ box: boxIdSchema, id: workloadIdSchema });

/** `PUT …/workloads/{id}`: its `id` must be that of the path. Without `desired` what is there stays, and a new one runs. */
export const workloadPutSchema = z.object({ workload: workloadSchema, desired: z.enum(DESIRED).optional() });
export type WorkloadPut = z.input<typeof workloadPutSchema>;

/** `PUT …/workloads`: the whole set that people own on this box. What rollouts put there stays. */
export const workloadSetPutSchema = z.object({
  workloads: z
    .array(z.object({ workload: workloadSchema, desired: z.enum(DESIRED).default("running") }))
    .max(MAX_WORKLOADS_A_BOX)
    .refine(
      (entries) => new Set(entries.map(({ workload }) => workload.id)).size === entries.length,
      "must not name a workload twice",
    ),
});
export type WorkloadSetPut = z.input<typeof workloadSetPutSchema>;

/** The revision after a change, and what differed. With `changed` false nothing was written. */
export const expectedChangeSchema = z.object({
  epoch: z.string(),
  revision: z.int(),
  changed: z.boolean(),
});
export type ExpectedChangeView = z.output<typeof expectedChangeSchema>;

/** What a whole-set replacement would do (`dryRun=true`). */
export const expectedDiffSchema = z.object({
  revision: z.int(),
  put: z.array(z.string()),
  remove: z.array(z.string()),
});
export type ExpectedDiffView = z.output<typeof expectedDiffSchema>;

/** `GET /v1/workloads`: those of all boxes. */
export const fleetWorkloadViewSchema = expectedEntryViewSchema.extend({ box: boxIdSchema, boxName: z.string() });
export type FleetWorkloadView = z.output<typeof fleetWorkloadViewSchema>;

export const fleetWorkloadQuerySchema = pageQuerySchema.extend({
  labels: selectorTextSchema.optional().describe("On the labels of the box."),
  state: z.enum([...WORKLOAD_STATES, "unknown"]).optional(),
  text: z.string().max(200).optional().describe("Part of the workload's id or name, in any case."),
});
