import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { remoteLimitsSchema, routerAddressSchema } from "../remote/offer.ts";
import { remoteOperationSchema } from "../remote/operation.ts";
import { instantSchema, pageQuerySchema } from "./page.ts";

export const REMOTE_STATES = ["waiting", "open", "broken", "ended"] as const;
export type RemoteState = (typeof REMOTE_STATES)[number];

export const remoteCreateSchema = z.strictObject({
  operation: remoteOperationSchema,
  /** Shorter than the hub's own limits, where given. */
  idleSeconds: z.int().min(1).optional(),
  maxSeconds: z.int().min(1).optional(),
});
export type RemoteCreate = z.input<typeof remoteCreateSchema>;

/** Answer to the creation of a session, and to each rejoin. */
export const remoteAdmissionSchema = z.object({
  id: z.string(),
  box: boxIdSchema,
  /** Secret, single-use: for `Join` at this router, until `expiresAt`. */
  ticket: z.string(),
  router: routerAddressSchema,
  expiresAt: instantSchema,
  attempt: z.int(),
  limits: remoteLimitsSchema,
  /** One sentence where the box cannot come now: it is offline since …; the session waits for it all the same. */
  warning: z.string().optional(),
});
export type RemoteAdmission = z.output<typeof remoteAdmissionSchema>;

export const remoteViewSchema = z.object({
  id: z.string(),
  box: boxIdSchema,
  operator: z.string(),
  operation: remoteOperationSchema,
  /** `broken`: one end is gone, and the session waits for its return. */
  state: z.enum(REMOTE_STATES),
  /** One sentence. */
  reason: z.string(),
  router: z.string().optional(),
  attempt: z.int(),
  createdAt: instantSchema,
  endedAt: instantSchema.optional(),
  bytesToBox: z.int(),
  bytesFromBox: z.int(),
});
export type RemoteView = z.output<typeof remoteViewSchema>;

export const remotePathSchema = z.object({ id: z.string().min(1).max(64) });
export const remoteListQuerySchema = pageQuerySchema.extend({
  box: boxIdSchema.optional(),
  state: z.enum(REMOTE_STATES).optional(),
});
