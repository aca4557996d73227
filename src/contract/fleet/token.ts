import { z } from "zod";
import { boxIdSchema } from "../identifier.ts";
import { boxNameSchema } from "./box-view.ts";
import { instantSchema } from "./page.ts";
import { labelsSchema } from "./selector.ts";

/** `router` opens nothing but what a router of its own tells its hub. The others: each may do what the later ones may. */
export const ROLES = ["admin", "operator", "viewer", "router"] as const;
export type Role = (typeof ROLES)[number];

/** An operator's token, without the token. */
export const tokenViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  createdAt: instantSchema,
  expiresAt: instantSchema.optional(),
  revokedAt: instantSchema.optional(),
  lastUsedAt: instantSchema.optional(),
});
export type TokenView = z.output<typeof tokenViewSchema>;

export const tokenCreateSchema = z.strictObject({
  name: z.string().trim().min(1).max(100),
  role: z.enum(ROLES),
  /** Left out: until it is revoked. */
  expiresInSeconds: z
    .int()
    .min(60)
    .max(10 * 365 * 86_400)
    .optional(),
});
export type TokenCreate = z.input<typeof tokenCreateSchema>;

/** The token itself is shown this once. A repeated request gets no second sight of it. */
export const tokenCreatedSchema = tokenViewSchema.extend({ token: z.string().optional() });
export type TokenCreated = z.output<typeof tokenCreatedSchema>;

/** Who the caller is. */
export const whoamiSchema = z.object({
  kind: z.literal("operator"),
  tokenId: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  hub: z.object({ id: z.string(), version: z.string() }),
});
export type Whoami = z.output<typeof whoamiSchema>;

/** A one-time leave to become a box, without the token. */
export const enrolmentViewSchema = z.object({
  id: z.string(),
  createdAt: instantSchema,
  expiresAt: instantSchema,
  box: boxIdSchema.optional(),
  labels: z.record(z.string(), z.string()),
  approve: z.boolean(),
  takenAt: instantSchema.optional(),
  takenBy: boxIdSchema.optional(),
});
export type EnrolmentView = z.output<typeof enrolmentViewSchema>;

export const enrolmentCreateSchema = z.strictObject({
  /** Only this box may use it, and it may then replace the key of the box of that id. */
  box: boxIdSchema.optional(),
  labels: labelsSchema.default({}),
  /** Whether the box may work at once, or waits for a person. Left out: as the hub is configured. */
  approve: z.boolean().optional(),
  expiresInSeconds: z
    .int()
    .min(60)
    .max(30 * 86_400)
    .default(86_400),
});
export type EnrolmentCreate = z.input<typeof enrolmentCreateSchema>;

/** `token` is the string that a person carries to the box (`enrolment-string.ts`). It is shown this once. */
export const enrolmentCreatedSchema = enrolmentViewSchema.extend({ token: z.string().optional() });
export type EnrolmentCreated = z.output<typeof enrolmentCreatedSchema>;

/** SHA-256 of a secret, as hex. */
export const secretHashSchema = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 as 64 lower-case hex digits");

/** `POST /v1/enrol`. The box makes its own key of 256 bits and tells its hash only. */
export const enrolRequestSchema = z.strictObject({
  /** The secret part of the enrolment string. */
  token: z.string().min(16).max(200),
  boxId: boxIdSchema,
  keyHash: secretHashSchema,
  name: boxNameSchema.optional(),
  labels: labelsSchema.optional(),
});
export type EnrolRequest = z.input<typeof enrolRequestSchema>;

/** `PUT /v1/boxes/{box}/key`: the key that the box changes to. It becomes the key when it is first used. */
export const keyPutSchema = z.strictObject({ keyHash: secretHashSchema });
export const keyAnswerSchema = z.object({ staged: z.boolean() });
