import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import {
  connectPointSchema,
  hostSchema,
  ipAddressSchema,
  MAX_TUNNEL_LEGS,
  portSchema,
  TLS_VERSIONS,
  tunnelUidSchema,
} from "../tunnel-spec.ts";
import { tunnelStatusSchema } from "../tunnel-status.ts";
import { instantSchema, pageQuerySchema } from "./page.ts";

/**
 * Where a tunnel stands:
 * - `requested`: its ends are told;
 * - `prepared`: both have their key and their ports;
 * - `linked`: both have the other's certificate;
 * - `up`: bytes were proved from entry to source and back;
 * - `degraded`: it was up, and the last proof of an end failed;
 * - `down`: an end does not serve, or its box is not heard;
 * - `ending`: it is taken away from its boxes.
 */
export const TUNNEL_PHASES = ["requested", "prepared", "linked", "up", "degraded", "down", "ending"] as const;
export type TunnelPhase = (typeof TUNNEL_PHASES)[number];
export const TUNNEL_SECURITIES = ["cert", "psk"] as const;

/** `POST /v1/tunnels`, and `PUT /v1/tunnels/{uid}` for who chooses the uid. */
export const tunnelCreateSchema = z.strictObject({
  /** For people. */
  name: z.string().trim().min(1).max(100).optional(),
  /** The box beside the sources. */
  producer: boxIdSchema,
  /** The box whose entry points the consumers use. */
  consumer: boxIdSchema,
  /** Where the producer's end takes connections to. */
  sources: z.array(connectPointSchema).min(1).max(MAX_TUNNEL_LEGS),
  /** Where the consumer's end takes connections. A port that is left out comes from the box's range. */
  entries: z
    .array(z.strictObject({ address: ipAddressSchema.default("127.0.0.1"), port: portSchema.optional() }))
    .min(1)
    .max(MAX_TUNNEL_LEGS)
    .default([{ address: "127.0.0.1" }]),
  /** How many ways through. More than there are sources: they take turns; entries that are not named come from the range. */
  connections: z.int().min(1).max(MAX_TUNNEL_LEGS).optional(),
  /** Where the consumer's box reaches the producer's gateway. Left out: what that box declares. */
  via: z
    .strictObject({
      address: hostSchema,
      /** Where the gateway listens, if another address leads to it. */
      listen: ipAddressSchema.optional(),
      /** Of the first leg; the next ones follow. Left out: from the box's range. */
      port: portSchema.optional(),
    })
    .optional(),
  security: z.enum(TUNNEL_SECURITIES).default("cert"),
  minTls: z.enum(TLS_VERSIONS).default("1.3"),
  /** What it may take of each box's uplink. */
  rateMbit: z.number().positive().max(1_000_000).optional(),
  lifetimeSeconds: z
    .int()
    .min(10)
    .max(10 * 366 * 86_400)
    .optional(),
});
export type TunnelCreate = z.input<typeof tunnelCreateSchema>;
export type TunnelWish = z.output<typeof tunnelCreateSchema>;

/** One way through, with all its ports. */
export const tunnelWaySchema = z.object({
  /** `127.0.0.1:5100`, at the consumer's box. */
  entry: z.string(),
  /** `198.51.100.7:20000`: where the consumer's end dials. */
  gateway: z.string(),
  /** Where the producer's end listens. */
  gatewayListen: z.string(),
  source: z.string(),
});

export const tunnelViewSchema = z.object({
  uid: tunnelUidSchema,
  name: z.string().optional(),
  revision: z.int(),
  producer: boxIdSchema,
  consumer: boxIdSchema,
  phase: z.enum(TUNNEL_PHASES),
  reason: z.string().optional(),
  since: instantSchema,
  /** How long each step took the first time, in milliseconds from the request. */
  steps: z.array(z.object({ phase: z.enum(TUNNEL_PHASES), afterMs: z.number() })),
  ways: z.array(tunnelWaySchema),
  security: z.enum(TUNNEL_SECURITIES),
  minTls: z.enum(TLS_VERSIONS),
  rateMbit: z.number().optional(),
  measuredMbit: z.number().optional(),
  endsAt: instantSchema.optional(),
  /** Generation of the keys; and whether they are being changed. */
  keys: z.object({ generation: z.int(), isRotating: z.boolean(), since: instantSchema }),
  ends: z.object({ producer: tunnelStatusSchema.optional(), consumer: tunnelStatusSchema.optional() }),
  /** What was asked for; ports that it leaves out were chosen. */
  wish: tunnelCreateSchema,
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type TunnelView = z.output<typeof tunnelViewSchema>;
export const tunnelPathSchema = z.object({ uid: tunnelUidSchema });

export const tunnelListQuerySchema = pageQuerySchema.extend({
  box: boxIdSchema.optional().describe("At either end."),
  phase: z.enum(TUNNEL_PHASES).optional(),
});
