import { z } from "zod";
import { IDENTIFIER_PATTERN } from "../identifier-pattern.ts";
import { instantSchema } from "./page.ts";
import { selectorTextSchema } from "./selector.ts";

export const ALERT_CONDITIONS = ["box-offline", "workload-unwell", "gap", "disk-full"] as const;
export const ALERT_PHASES = ["pending", "firing", "clearing", "quiet"] as const;

export const alertRuleIdSchema = z
  .string()
  .regex(IDENTIFIER_PATTERN, "must be 1 to 63 letters, digits, dots, dashes or underscores, not starting with . or -");

/** `PUT /v1/alert-rules/{id}`. */
export const alertRulePutSchema = z.strictObject({
  condition: z.enum(ALERT_CONDITIONS),
  /** Which boxes; empty: all. */
  selector: selectorTextSchema.default(""),
  /** It must hold this long before the alert fires. */
  forSeconds: z.int().min(0).max(86_400).default(60),
  /** It must be over this long before the alert ends. */
  clearAfterSeconds: z.int().min(0).max(86_400).default(60),
  /** For `disk-full`: percent of the disk in use at which it holds. */
  threshold: z.number().min(1).max(100).default(90),
  enabled: z.boolean().default(true),
  webhook: z.strictObject({
    url: z.url({ protocol: /^https?$/ }).max(2000),
    /** Signs each message (HMAC-SHA-256). Never shown again; left out in a change: stays as it is. */
    secret: z.string().min(16).max(200).optional(),
  }),
});
export type AlertRulePut = z.input<typeof alertRulePutSchema>;

export const alertRuleViewSchema = z.object({
  id: alertRuleIdSchema,
  revision: z.int(),
  condition: z.enum(ALERT_CONDITIONS),
  selector: z.string(),
  forSeconds: z.int(),
  clearAfterSeconds: z.int(),
  threshold: z.number(),
  enabled: z.boolean(),
  /** The URL without credentials; whether messages are signed. */
  webhook: z.object({ url: z.string(), signed: z.boolean() }),
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type AlertRuleView = z.output<typeof alertRuleViewSchema>;
export const alertRulePathSchema = z.object({ id: alertRuleIdSchema });

export const alertViewSchema = z.object({
  rule: z.string(),
  /** `box/north-1`, `box/north-1/cam-2` … */
  subject: z.string(),
  phase: z.enum(ALERT_PHASES),
  since: instantSchema,
  text: z.string(),
});
export type AlertView = z.output<typeof alertViewSchema>;

/** A message to a webhook. */
export const deliveryViewSchema = z.object({
  id: z.string(),
  rule: z.string(),
  state: z.enum(["waiting", "sending", "sent", "given-up"]),
  createdAt: instantSchema,
  dueAt: instantSchema,
  attempt: z.int(),
  lastError: z.string().optional(),
});
export type DeliveryView = z.output<typeof deliveryViewSchema>;
