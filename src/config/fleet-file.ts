import { z } from "zod";
import { alertRuleIdSchema, alertRulePutSchema } from "../contract/fleet/alert.ts";
import { boxNameSchema } from "../contract/fleet/box-view.ts";
import { DESIRED, MAX_WORKLOADS_A_BOX } from "../contract/fleet/expected-view.ts";
import { rolloutIdSchema, rolloutPutSchema } from "../contract/fleet/rollout.ts";
import { labelsSchema } from "../contract/fleet/selector.ts";
import { sessionWishSchema } from "../contract/fleet/session.ts";
import { tunnelCreateSchema } from "../contract/fleet/tunnel.ts";
import { boxIdSchema } from "../contract/identifier.ts";
import { sessionIdSchema } from "../contract/session-spec.ts";
import { tunnelUidSchema } from "../contract/tunnel-spec.ts";
import { workloadSchema } from "../contract/workload.ts";
import { parseObjectFile } from "./object-file.ts";

/** `{kind: stream, id, spec, desired?}`: `kind` may be left out. */
const streamSchema = z.preprocess(
  (entry) => (typeof entry === "object" && entry !== null && !("kind" in entry) ? { kind: "stream", ...entry } : entry),
  z.intersection(workloadSchema, z.object({ desired: z.enum(DESIRED).optional() })),
);

const fleetFileSchema = z.strictObject({
  /** By box id. What is left out of a box is not touched. */
  boxes: z
    .record(
      boxIdSchema,
      z.strictObject({
        name: boxNameSchema.optional(),
        labels: labelsSchema.optional(),
        draining: z.boolean().optional(),
        streams: z
          .array(streamSchema)
          .max(MAX_WORKLOADS_A_BOX)
          .refine((streams) => new Set(streams.map(({ id }) => id)).size === streams.length, "no stream named twice")
          .optional(),
      }),
    )
    .optional(),
  rollouts: z.record(rolloutIdSchema, rolloutPutSchema).optional(),
  alertRules: z.record(alertRuleIdSchema, alertRulePutSchema).optional(),
  /** By uid. */
  tunnels: z.record(tunnelUidSchema, tunnelCreateSchema).optional(),
  /** By id. */
  sessions: z.record(sessionIdSchema, sessionWishSchema.omit({ id: true })).optional(),
});

/** What a fleet should be, as a file says it. Sections that are left out are not touched. */
export type FleetFile = z.output<typeof fleetFileSchema>;
export type FleetFileBox = NonNullable<FleetFile["boxes"]>[string];
export type FleetFileStream = NonNullable<FleetFileBox["streams"]>[number];

/** Throws `config`, naming line and field, for what is no fleet file. */
export function parseFleetFile(path: string, text: string): FleetFile {
  return parseObjectFile({ path, text, schema: fleetFileSchema, name: "a fleet file", manual: "docs/cli.md" });
}

/** One stream, as `stream start -f` reads it. Throws `config`, naming line and field. */
export function parseStreamFile(path: string, text: string): FleetFileStream {
  return parseObjectFile({ path, text, schema: streamSchema, name: "a stream", manual: "docs/streams.md" });
}

/** The body of a rollout. Throws `config`, naming line and field. */
export function parseRolloutFile(path: string, text: string): z.output<typeof rolloutPutSchema> {
  return parseObjectFile({ path, text, schema: rolloutPutSchema, name: "a rollout", manual: "docs/cli.md" });
}

/** The body of an alert rule. Throws `config`, naming line and field. */
export function parseAlertRuleFile(path: string, text: string): z.output<typeof alertRulePutSchema> {
  return parseObjectFile({ path, text, schema: alertRulePutSchema, name: "an alert rule", manual: "docs/cli.md" });
}
