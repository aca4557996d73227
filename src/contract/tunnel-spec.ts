import { z } from "zod";
import { MASK } from "../base/redact.ts";
import { IDENTIFIER_PATTERN } from "./identifier-pattern.ts";

/** What one end of a tunnel must know. The other end's box has a spec of its own with the other role. */

export const MAX_TUNNEL_LEGS = 128;
export const TUNNEL_ROLES = ["producer", "consumer"] as const;
export type TunnelRole = (typeof TUNNEL_ROLES)[number];
export const TLS_VERSIONS = ["1.2", "1.3"] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

export const tunnelUidSchema = z
  .string()
  .regex(IDENTIFIER_PATTERN, "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -");

export const portSchema = z.int().min(1).max(65_535);

/** An address of the box itself: a name could mean another one tomorrow. */
export const ipAddressSchema = z.union([z.ipv4(), z.ipv6()], "must be an IPv4 or IPv6 address");

/** A name or an address. */
export const hostSchema = z.union(
  [z.ipv6(), z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/)],
  "must be a host name or an IP address",
);

/** Where an end takes connections. */
export const listenPointSchema = z.object({ address: ipAddressSchema, port: portSchema });
/** Where it takes them to. */
export const connectPointSchema = z.object({ host: hostSchema, port: portSchema });

/**
 * One way through the tunnel. At the producer: from its gateway to a source. At the consumer: from an entry point to the
 * producer's gateway. The legs of both ends are in the same order.
 */
export const tunnelLegSchema = z.object({ listen: listenPointSchema, connect: connectPointSchema });
export type TunnelLeg = z.output<typeof tunnelLegSchema>;

/** A certificate as PEM. It is public. */
export const certificateSchema = z
  .string()
  .max(8192)
  .regex(
    /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?$/,
    "must be one certificate in PEM form",
  );

export const preSharedKeySchema = z.object({
  /** Public; it only names the key. */
  identity: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,128}$/, "must be 1 to 128 letters, digits, dots, dashes or underscores"),
  /** 256 bits. The mask stands for what is held; no box takes it for a key. */
  secret: z.union([z.literal(MASK), z.string().regex(/^[0-9a-f]{64}$/)], "must be 64 hexadecimal digits"),
});

/**
 * How the ends know each other. `cert`: each end makes its own keys, one a generation, and only certificates travel;
 * until a certificate of the peer is there the end waits. `psk`: both have the same key.
 */
export const tunnelSecuritySchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("cert"),
    /** Of the own key that this end presents. */
    keyGeneration: z.int().min(1),
    /** Made and reported beside it, so that the other end can learn it before it is presented. */
    nextKeyGeneration: z.int().min(1).optional(),
    /** All of them are accepted, and nothing else. */
    peerCertificates: z.array(certificateSchema).max(2),
  }),
  z.object({
    kind: z.literal("psk"),
    /** The consumer presents the first; the producer accepts all of them. */
    keys: z.array(preSharedKeySchema).min(1).max(2),
  }),
]);
export type TunnelSecurity = z.output<typeof tunnelSecuritySchema>;

export const tunnelSpecSchema = z.object({
  /** The same at both ends. */
  uid: tunnelUidSchema,
  role: z.enum(TUNNEL_ROLES),
  legs: z.array(tunnelLegSchema).min(1).max(MAX_TUNNEL_LEGS),
  security: tunnelSecuritySchema,
  /** Least version of TLS. Absent: 1.3. */
  minTls: z.enum(TLS_VERSIONS).optional(),
  /** Wall time from which on the box ends it by itself, whether it is told or not. */
  endsAt: z.iso.datetime().optional(),
});
export type TunnelSpec = z.output<typeof tunnelSpecSchema>;
