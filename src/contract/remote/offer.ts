import { z } from "zod";
import { remoteOperationSchema } from "./operation.ts";
import { ticketKeySchema } from "./ticket-key.ts";

/** Name of the command by which a hub offers a session to a box. */
export const REMOTE_COMMAND = "remote";

/** Where both ends of a session meet. */
export const routerAddressSchema = z.object({
  id: z.string().min(1).max(64),
  /** `https://…` or `http://…` (without encryption). */
  url: z.url({ protocol: /^https?$/ }),
  /** PEM of the authority of its certificate, where the usual ones do not do. */
  ca: z.string().optional(),
});
export type RouterAddress = z.output<typeof routerAddressSchema>;

export const remoteLimitsSchema = z.object({
  /** Without a frame but those of the link. */
  idleSeconds: z.int().min(1),
  maxSeconds: z.int().min(1),
  /** How long a session waits for the return of its operator before it is ended. */
  resumeSeconds: z.int().min(1),
});
export type RemoteLimits = z.output<typeof remoteLimitsSchema>;

/**
 * Arguments of the command `remote`: join this session at this router. The same session is offered again when its operator comes
 * back after a break: the box resumes it, and never begins it twice.
 */
export const remoteOfferSchema = z.object({
  session: z.string().min(1).max(64),
  /** Secret, single-use. */
  ticket: z.string().min(1),
  router: routerAddressSchema,
  /** 1 for the first; later ones resume. */
  attempt: z.int().min(1),
  operator: z.string().min(1).max(128),
  operation: remoteOperationSchema,
  limits: remoteLimitsSchema,
  /** By what the box knows its operator, who has to prove it before anything is begun. Absent: a hub that knows nothing of it. */
  proof: z
    .object({
      /** What the operator's ticket may be signed with. A box knows them from its hub alone, never from a router. */
      keys: z.array(ticketKeySchema).min(1).max(16),
      /** By the hub's clock, in seconds since the epoch: the box's own may be wrong. */
      issuedAt: z.int(),
      /** The two ends seal what they say. */
      seal: z.boolean(),
    })
    .optional(),
});
export type RemoteProof = NonNullable<z.output<typeof remoteOfferSchema>["proof"]>;
export type RemoteOffer = z.output<typeof remoteOfferSchema>;
