import { z } from "zod";
import { boxWhySchema } from "./box-why.ts";
import { detachedEndSchema } from "./detached-end.ts";
import { remoteOfferSchema } from "./offer.ts";
import { remoteGrantSchema } from "./remote-grant.ts";

/** What an agent says to the holder of this box's remote sessions, over its Unix socket: one JSON line, answered by one. */
export const holderCallSchema = z.discriminatedUnion("call", [
  z.object({
    call: z.literal("offer"),
    offer: remoteOfferSchema,
    grant: remoteGrantSchema,
    /** Id of this box at its hub. */
    box: z.string(),
    /** PEM of what the agent itself trusts, beside the offer's own. */
    ca: z.string().optional(),
    /** The session was begun before: whoever does not hold it must not begin it again. */
    isKnown: z.boolean(),
    /**
     * False: that the session begins is not on the agent's disk yet. The line `recorded` follows on the same connection when it is: the
     * holder joins meanwhile, and starts nothing before.
     */
    isRecorded: z.boolean().default(true),
  }),
  z.object({ call: z.literal("status") }),
  /** How a session stands: it looks on for a moment. */
  z.object({ call: z.literal("why"), session: z.string() }),
  /** Take no new session, and end with the last one. */
  z.object({ call: z.literal("drain") }),
  z.object({ call: z.literal("end"), session: z.string(), reason: z.string() }),
]);
export type HolderCall = z.input<typeof holderCallSchema>;

export const heldSessionSchema = z.object({
  session: z.string(),
  operator: z.string(),
  operation: z.string(),
  state: z.enum(["joining", "open", "broken", "detached", "ended"]),
  since: z.string(),
  pid: z.int().optional(),
});
export type HeldSessionView = z.output<typeof heldSessionSchema>;

export const holderAnswerSchema = z.object({
  /** Absent: it was done. */
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  text: z.string().optional(),
  why: boxWhySchema.optional(),
  status: z
    .object({
      version: z.string(),
      pid: z.int(),
      sessions: z.array(heldSessionSchema),
      /** Commands that were detached, the last of them. Absent: a holder of an earlier release. */
      ended: z.array(detachedEndSchema).default([]),
    })
    .optional(),
});
export type HolderAnswer = z.output<typeof holderAnswerSchema>;

/** What follows an offer that was not recorded. */
export const RECORDED_LINE = "recorded";

/** One line may hold an offer with the longest command and two certificates. */
export const MAX_HOLDER_LINE_BYTES = 1024 * 1024;

/** How a holder is begun: the argument of `remote-holder`, as JSON. Never a secret. */
export const holderConfigSchema = z.object({
  socketPath: z.string(),
  /** For its own log and for the audit log. */
  logDirectory: z.string(),
  /** For what detached commands write; emptied at the start. */
  spoolDirectory: z.string(),
  /** PEM of the box's X25519 key, by which operators know it. */
  keyPath: z.string(),
  /** Of the agent's own API: there the ports of application sessions are asked for. */
  agentSocket: z.string(),
  version: z.string(),
});
export type HolderConfig = z.output<typeof holderConfigSchema>;
