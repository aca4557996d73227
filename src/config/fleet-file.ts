import { z } from "zod";
import { AppError } from "../base/errors.ts";
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
import { describeProblem, toFieldName } from "../contract/wire-event-problem.ts";
import { workloadSchema } from "../contract/workload.ts";
import { parseYamlDocument } from "./yaml-document.ts";

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
  const { value, originOf } = parseYamlDocument(path, text);
  const parsed = fleetFileSchema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.code === "unrecognized_keys" ? [...issue.path, issue.keys[0] ?? ""] : (issue?.path ?? []);
  const problem =
    issue?.code === "unrecognized_keys"
      ? `${toFieldName(place)}: is not a key that a fleet file has (docs/cli.md lists them)`
      : describeProblem(parsed.error, value);
  throw new AppError("config", `${originOf(place)}: ${problem}`, { field: toFieldName(place) });
}

/** One stream, as `stream start -f` reads it. Throws `config`, naming line and field. */
export function parseStreamFile(path: string, text: string): FleetFileStream {
  const { value, originOf } = parseYamlDocument(path, text);
  const parsed = streamSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const place = parsed.error.issues[0]?.path ?? [];
  throw new AppError("config", `${originOf(place)}: ${describeProblem(parsed.error, value)}`, {
    field: toFieldName(place),
  });
}

/** The body of a rollout. Throws `config`, naming line and field. */
export function parseRolloutFile(path: string, text: string): z.output<typeof rolloutPutSchema> {
  return parseObjectFile({ path, text, schema: rolloutPutSchema });
}

/** The body of an alert rule. Throws `config`, naming line and field. */
export function parseAlertRuleFile(path: string, text: string): z.output<typeof alertRulePutSchema> {
  return parseObjectFile({ path, text, schema: alertRulePutSchema });
}

function parseObjectFile<Schema extends z.ZodType>({
  path,
  text,
  schema,
}: {
  readonly path: string;
  readonly text: string;
  readonly schema: Schema;
}): z.output<Schema> {
  const { value, originOf } = parseYamlDocument(path, text);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const place = parsed.error.issues[0]?.path ?? [];
  throw new AppError("config", `${originOf(place)}: ${describeProblem(parsed.error, value)}`, {
    field: toFieldName(place),
  });
}
