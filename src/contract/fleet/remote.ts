import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { remoteLimitsSchema, routerAddressSchema } from "../remote/offer.ts";
import { remoteOperationSchema } from "../remote/operation.ts";
import { remoteKeySchema } from "../remote/remote-key-schema.ts";
import { instantSchema, pageQuerySchema } from "./page.ts";

export const REMOTE_STATES = ["waiting", "open", "broken", "ended"] as const;
export type RemoteState = (typeof REMOTE_STATES)[number];

export const remoteCreateSchema = z.strictObject({
  operation: remoteOperationSchema,
  /** Shorter than the hub's own limits, where given. */
  idleSeconds: z.int().min(1).optional(),
  maxSeconds: z.int().min(1).optional(),
  /** X25519 key of this attempt alone, made by who asks: the box lets in nobody who does not have it. Programs before it are told to be upgraded. */
  key: remoteKeySchema.optional(),
  /** Both ends seal what they say, so that the router sees sizes only. */
  seal: z.boolean().default(false),
});
export const remoteRejoinSchema = remoteCreateSchema.pick({ key: true }).optional();
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
  /** The box's X25519 key, as it told the hub. Absent: a hub that knows nothing of it. */
  boxKey: remoteKeySchema.optional(),
  /** The box takes a proof behind `join`, before it has asked for it: `frame.proto`. Absent: it does not. */
  takesEarlyProof: z.boolean().optional(),
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
