import { z } from "zod";
import { PORT_PROTOCOLS, SESSION_PLATFORMS, sessionPowerSchema, sessionRunSpecSchema } from "./session-spec.ts";
import { resourcesSchema } from "./workload.ts";

/** What is left of a hibernated session: its memory (`frozen`), its files (`stopped`), its objects in a cluster (`scaled-to-zero`). */
export const SESSION_DEPTHS = ["frozen", "stopped", "scaled-to-zero"] as const;
export type SessionDepth = (typeof SESSION_DEPTHS)[number];

/** What showed that a session is used. */
export const ACTIVITY_SOURCES = ["start", "wake", "connection", "datagram", "cpu", "call"] as const;

export const sessionEndpointSchema = z.object({
  name: z.string(),
  /** Works from where the box's address can be reached; new after each wake. */
  url: z.string(),
  /** Where the application listens. */
  port: z.int(),
  protocol: z.enum(PORT_PROTOCOLS),
  address: z.string(),
  hostPort: z.int(),
});
export type SessionEndpoint = z.output<typeof sessionEndpointSchema>;

/** Of one session, as its box tells it, beside what a box tells of every workload. */
export const sessionStatusSchema = z.object({
  user: z.string(),
  platform: z.enum(SESSION_PLATFORMS).optional(),
  /** Container id, process group or Deployment, for who looks on the box. */
  instance: z.string().optional(),
  /** The last wish it has carried out. */
  turn: z.int(),
  /** While it sleeps. */
  sleep: z
    .object({
      depth: z.enum(SESSION_DEPTHS),
      since: z.string(),
      /** `asked`, or `idle`. */
      because: z.enum(["asked", "idle"]),
      /** What it still holds. */
      memoryBytes: z.number().optional(),
    })
    .optional(),
  /** How long the last wakes took until it ran, by the depth they came from, in milliseconds. */
  wakeMs: z
    .object({ frozen: z.number().optional(), stopped: z.number().optional(), "scaled-to-zero": z.number().optional() })
    .optional(),
  endpoints: z.array(sessionEndpointSchema).optional(),
  /** Where it may hibernate by itself. */
  idle: z
    .object({
      lastActivity: z.object({ at: z.string(), source: z.enum(ACTIVITY_SOURCES) }),
      /** If nothing uses it until then. */
      hibernatesAt: z.string(),
    })
    .optional(),
  /** By `maxDuration`. */
  endsAt: z.string().optional(),
  /** It has ended and is not started again: `restart`, or `maxDuration`. */
  ended: z.object({ at: z.string(), reason: z.string() }).optional(),
  /** In this life of the agent. */
  hibernations: z.int().optional(),
  wakes: z.int().optional(),
  openConnections: z.int().optional(),
  memoryBytes: z.number().optional(),
  /** It is expected by a command, not by the server's set. */
  commanded: z.object({ generation: z.int() }).optional(),
  /**
   * A new memory of the hub's knows nothing of it: it is kept until the hub has taken it up or ended it. Secrets are masked: a hub
   * that sends a mask back at its place means what the box holds there.
   */
  unclaimed: z
    .object({
      spec: sessionRunSpecSchema,
      name: z.string().optional(),
      resources: resourcesSchema.optional(),
      power: sessionPowerSchema.optional(),
    })
    .optional(),
});
export type SessionStatus = z.output<typeof sessionStatusSchema>;

/** Where a port of a session is reached from the box itself, at this moment. */
export const sessionPlaceSchema = z.object({ address: z.string(), port: z.int().min(1).max(65_535) });
export type SessionPlace = z.output<typeof sessionPlaceSchema>;

/** What a box can run, in its report. */
export const sessionFactsSchema = z.object({
  platforms: z.array(
    z.object({
      platform: z.enum(SESSION_PLATFORMS),
      isReady: z.boolean(),
      /** Why it is not. */
      reason: z.string().optional(),
      version: z.string().optional(),
    }),
  ),
  /** Of the machine. */
  cores: z.number().optional(),
  memoryBytes: z.number().optional(),
  gpus: z.int().optional(),
  /** The box takes no more than this. */
  maxSessions: z.int().optional(),
});
export type SessionFacts = z.output<typeof sessionFactsSchema>;
