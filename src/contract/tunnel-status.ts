import { z } from "zod";
import { certificateSchema, TLS_VERSIONS, TUNNEL_ROLES, tunnelUidSchema } from "./tunnel-spec.ts";

/**
 * Where one end stands:
 * - `preparing`: it makes its key and checks its ports;
 * - `prepared`: both are there; it waits for the other end's certificate;
 * - `linked`: it has what it needs and is not proved yet;
 * - `up`: proved, and the proof is repeated;
 * - `degraded`: its process serves, and the last proof failed or was not whole;
 * - `down`: it does not serve.
 */
export const TUNNEL_END_PHASES = ["preparing", "prepared", "linked", "up", "degraded", "down"] as const;
export type TunnelEndPhase = (typeof TUNNEL_END_PHASES)[number];

/** What an end does to itself, or to its own configuration, to see that it is refused. */
export const TUNNEL_ATTACKS = [
  "plain-text",
  "no-certificate",
  "wrong-certificate",
  "wrong-key",
  "null-cipher",
  "anonymous-cipher",
  "old-tls",
  "rogue-peer",
  "open-listener",
] as const;
export type TunnelAttack = (typeof TUNNEL_ATTACKS)[number];

/** The evidence that a tunnel is what it says. */
export const tunnelProofSchema = z.object({
  at: z.string(),
  tookMs: z.number(),
  /** Of the own handshake with the peer. Of the consumer's end: only that end opens connections. */
  protocol: z.string().optional(),
  cipher: z.string().optional(),
  /** SHA-256 of the certificate that the peer showed, or the identity of the key. */
  peer: z.string().optional(),
  /** What came through: a byte of the source's, or the handshake where the source waits for the first word. */
  through: z.enum(["byte", "handshake"]).optional(),
  /** Each attack, with how it ended. */
  attacks: z.array(z.object({ attack: z.enum(TUNNEL_ATTACKS), isRefused: z.boolean(), how: z.string() })),
});
export type TunnelProof = z.output<typeof tunnelProofSchema>;

/** Of one end, as its box tells it. */
export const tunnelStatusSchema = z.object({
  uid: tunnelUidSchema,
  role: z.enum(TUNNEL_ROLES),
  phase: z.enum(TUNNEL_END_PHASES),
  /** Why it is not `up`. */
  reason: z.string().optional(),
  since: z.string(),
  minTls: z.enum(TLS_VERSIONS),
  legs: z.array(z.object({ listen: z.string(), connect: z.string() })),
  /** Own listening points that something else has, each as in `legs`, with who has it where the box can tell. */
  busy: z.array(z.object({ listen: z.string(), holder: z.string().optional() })).optional(),
  /** Own certificates, one a generation. */
  certificates: z.array(z.object({ generation: z.int(), sha256: z.string(), pem: certificateSchema })).optional(),
  /** What the running process has loaded: the certificate (SHA-256) or key (identity) it presents, and those it accepts. */
  presents: z.string().optional(),
  accepts: z.array(z.string()).optional(),
  proof: tunnelProofSchema.optional(),
  /** Time of the last handshake with the peer. */
  latencyMs: z.number().optional(),
  connections: z.int().optional(),
  /** Payload since the process started, both ways together. */
  bytes: z.number().optional(),
  bitsPerSecond: z.number().optional(),
});
export type TunnelStatus = z.output<typeof tunnelStatusSchema>;

/** What a box declares for tunnels, in its report. */
export const tunnelFactsSchema = z.object({
  /** Where other boxes reach its gateways. */
  address: z.string().optional(),
  /** From which ports are taken where none is asked for. */
  ports: z.object({ from: z.int(), to: z.int() }),
  uplinkMbit: z.number().optional(),
  /** The version of the program that carries tunnels; absent where it is not installed. */
  engine: z.string().optional(),
});
export type TunnelFacts = z.output<typeof tunnelFactsSchema>;
