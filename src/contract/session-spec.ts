import { z } from "zod";
import { durationTextSchema } from "./duration-text.ts";
import { workloadIdSchema } from "./identifier.ts";
import { IDENTIFIER_PATTERN } from "./identifier-pattern.ts";
import { coresQuantitySchema, memoryQuantitySchema } from "./quantity.ts";
import { ipAddressSchema, portSchema } from "./tunnel-spec.ts";

/** An application on a box, in words that no platform owns. What a platform makes of it: `src/translate`. */

export const SESSION_PLATFORMS = ["docker", "podman", "process", "kubernetes"] as const;
export type SessionPlatformName = (typeof SESSION_PLATFORMS)[number];

/** Ids become names of containers, networks and Kubernetes objects. */
export const sessionIdSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,50}[a-z0-9])?$/,
    "must be 1 to 52 small letters, digits or dashes, beginning with a letter and not ending with a dash",
  )
  .refine((id) => workloadIdSchema.safeParse(id).success, "must not be one of the agent's own names (agent)");

const argument = z
  .string()
  .max(4096)
  .regex(/^[^\0]*$/, "must not hold a zero byte");
const partName = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,13}[a-z0-9])?$/,
    "must be 1 to 15 small letters, digits or dashes, beginning with a letter",
  );

export const PORT_PROTOCOLS = ["tcp", "udp"] as const;
export const sessionPortSchema = z.strictObject({
  /** Names it where it is shown. Absent: its number. */
  name: partName.optional(),
  /** Where the application listens. */
  port: portSchema,
  /** Absent: `tcp`. */
  protocol: z.enum(PORT_PROTOCOLS).optional(),
  /** How its URL begins: `http`, `rtsp`, … Absent: the protocol. */
  scheme: z
    .string()
    .regex(/^[a-z][a-z0-9+.-]{0,19}$/)
    .optional(),
  /** Where it can be reached on the box. Absent: any free one, a new one after each wake. */
  hostPort: portSchema.optional(),
  /** Address of the box on which it can be reached. Absent: `sessions.address` of the box. */
  address: ipAddressSchema.optional(),
});
export type SessionPort = z.output<typeof sessionPortSchema>;

/** What becomes of a volume when its session is stopped. */
export const volumeRuleSchema = z.enum(["keep", "delete"]);
export type VolumeRule = z.output<typeof volumeRuleSchema>;

export const sessionVolumeSchema = z.strictObject({
  name: partName,
  /** Where the application finds it: absolute in a container, below the working directory in a plain process. */
  path: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[^\0:]*$/, "must not hold a colon")
    .refine((path) => !path.split("/").includes(".."), "must not hold .."),
  readOnly: z.boolean().optional(),
  /** A directory of the box instead of one of its own; it must lie below one of `policy.sessionMounts`. */
  hostPath: z
    .string()
    .max(1024)
    .regex(/^\/[^\0:]*$/, "must be an absolute path without a colon")
    .optional(),
  /** Of a cluster only: what is claimed. Absent: 10Gi. */
  size: memoryQuantitySchema.optional(),
  /** What becomes of it when the session is stopped. Absent: it is kept. */
  onStop: volumeRuleSchema.optional(),
});
export type SessionVolume = z.output<typeof sessionVolumeSchema>;

export const sessionTemplateSchema = z
  .strictObject({
    /** For all platforms but `process`. */
    image: z
      .string()
      .max(300)
      .regex(/^[A-Za-z0-9][A-Za-z0-9._/:@-]*$/, "must be the reference of an image, for example nginx:1.27")
      .optional(),
    /** The program and what comes first. With an image: in place of its entry point. */
    command: z.array(argument).min(1).max(100).optional(),
    args: z.array(argument).max(500).optional(),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), argument).optional(),
    ports: z.array(sessionPortSchema).max(50).optional(),
    workingDirectory: z
      .string()
      .max(1024)
      .regex(/^\/[^\0]*$/, "must be an absolute path")
      .optional(),
  })
  .refine(({ image, command }) => image !== undefined || command !== undefined, "must name an image or a command");

/** What counts as being used; none of it for `idleTimeout`: the session hibernates by itself. */
export const sessionActivitySchema = z.strictObject({
  /** Open connections to its ports. Absent: they count where it has ports. */
  connections: z.boolean().optional(),
  /** Processor time above this share of one core, in percent. Absent: it does not count. */
  cpuPercent: z.number().min(0.1).max(100_000).optional(),
});

export const RESTART_RULES = ["always", "on-failure", "never"] as const;
export const HIBERNATION_DEPTHS = ["frozen", "stopped"] as const;

const sessionFields = {
  /** Whose it is, for people and for limits. */
  user: z
    .string()
    .regex(
      IDENTIFIER_PATTERN,
      "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -",
    ),
  /** Absent: the first that the box has and the template suits. */
  platform: z.enum(SESSION_PLATFORMS).optional(),
  template: sessionTemplateSchema,
  volumes: z.array(sessionVolumeSchema).max(20).optional(),
  /** Unused for as long as this, it hibernates. Absent: never by itself. */
  idleTimeout: durationTextSchema(10_000).optional(),
  activity: sessionActivitySchema.optional(),
  /** From its first start on the box; then it has ended. Absent: no end. */
  maxDuration: durationTextSchema(10_000).optional(),
  /** Absent: `always`. */
  restart: z.enum(RESTART_RULES).optional(),
  /** What hibernation leaves: `frozen` keeps the memory and wakes in milliseconds, `stopped` keeps the files. Absent: `stopped`. */
  hibernation: z.enum(HIBERNATION_DEPTHS).optional(),
};
const gpus = z.int().min(1).max(64).optional();

/** What a box is told of a session: limits and whether it is awake lie beside it on the workload, so that they restart nothing. */
export const sessionRunSpecSchema = z.strictObject({ ...sessionFields, gpus });
export type SessionRunSpec = z.output<typeof sessionRunSpecSchema>;

/** What people write: one session, whole. */
export const sessionSpecSchema = z.strictObject({
  id: sessionIdSchema,
  ...sessionFields,
  resources: z
    .strictObject({
      cpu: coresQuantitySchema.optional(),
      memory: memoryQuantitySchema.optional(),
      gpus,
    })
    .optional(),
});
export type SessionSpec = z.output<typeof sessionSpecSchema>;

export const POWER_STATES = ["running", "hibernated"] as const;

/**
 * Whether a session is to be awake. `turn` grows with each wish of a person: a session that fell asleep by itself stays so until a
 * later turn says `running`, however often the same wish is sent.
 */
export const sessionPowerSchema = z.strictObject({
  state: z.enum(POWER_STATES),
  turn: z.int().min(0),
});
export type SessionPower = z.output<typeof sessionPowerSchema>;
