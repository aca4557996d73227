import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import { type MayReach, requireReachable } from "../../base/guarded-lookup.ts";
import {
  alertRulePathSchema,
  alertRulePutSchema,
  alertRuleViewSchema,
  alertViewSchema,
  deliveryViewSchema,
} from "../../contract/fleet/alert.ts";
import { changePreviewSchema, dryRunQuerySchema } from "../../contract/fleet/change-preview.ts";
import { pageQuerySchema, pageSchema } from "../../contract/fleet/page.ts";
import type { SecretBox } from "../auth/secret-box.ts";
import { previewOf } from "../fleet/preview-of.ts";
import { isoOf, writeOf } from "../fleet/write-of.ts";
import { type Route, route } from "../http/route.ts";
import type { StoredObject } from "../store/objects.ts";
import type { Store } from "../store/store.ts";
import { notFound } from "../store/store-error.ts";
import { ALERT_RULE, ruleOf, sealWebhook, viewOfRule } from "./alert-rule.ts";

export function createAlertRoutes({
  store,
  clock,
  secrets,
  mayReach,
}: {
  readonly store: Store;
  readonly clock: Clock;
  readonly secrets: SecretBox | undefined;
  /** Of webhooks. */
  readonly mayReach: MayReach;
}): readonly Route[] {
  const viewOf = (object: StoredObject) => {
    const rule = ruleOf(object);
    return rule === undefined ? undefined : viewOfRule(rule, object, secrets);
  };
  return [
    route({
      method: "GET",
      path: "/v1/alerts",
      access: "viewer",
      summary: "Alerts that fire, wait to fire, or wait to end",
      query: pageQuerySchema.extend({ rule: z.string().max(100).optional().describe("Of this rule only.") }),
      answer: pageSchema(alertViewSchema),
      handle: async ({ query: { rule, ...page } }) => {
        const { items, next } = await store.alerts.list({ ...page, ruleId: rule });
        return paged(
          items.map(({ ruleId, subject, phase, sinceMs, text }) => ({
            rule: ruleId,
            subject,
            phase,
            since: isoOf(sinceMs),
            text,
          })),
          next,
        );
      },
    }),
    route({
      method: "GET",
      path: "/v1/alert-rules",
      access: "viewer",
      summary: "What alerts are raised for, and whom they are told",
      query: pageQuerySchema,
      answer: pageSchema(alertRuleViewSchema),
      handle: async ({ query }) => {
        const { items, next } = await store.objects.list(ALERT_RULE, query);
        return paged(
          items.flatMap((object) => viewOf(object) ?? []),
          next,
        );
      },
    }),
    route({
      method: "PUT",
      path: "/v1/alert-rules/{id}",
      access: "operator",
      summary: "Make or change a rule",
      params: alertRulePathSchema,
      query: dryRunQuerySchema,
      body: alertRulePutSchema,
      conditional: "optional",
      answer: z.union([alertRuleViewSchema, changePreviewSchema]),
      handle: async (call) => {
        const { id } = call.params;
        const held = await store.objects.get(ALERT_RULE, id);
        requireAllowed(call.body.webhook.url, mayReach);
        const before = held === undefined ? undefined : ruleOf(held)?.webhook;
        const body = { ...call.body, webhook: sealWebhook(id, call.body.webhook, { held: before, secrets }) };
        if (call.query.dryRun === true) return previewOf(held, body);
        const stored = await store.objects.put(
          { kind: ALERT_RULE, id, body },
          {
            ...writeOf(call, clock, { action: "alert-rule.put", subject: `alert-rule/${id}` }),
            expectedRevision: call.expectedRevision,
          },
        );
        const view = viewOf(stored);
        if (view === undefined) throw notFound("alert rule", id);
        return view;
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/alert-rules/{id}",
      access: "operator",
      summary: "Remove a rule; its alerts end without a word",
      params: alertRulePathSchema,
      conditional: "optional",
      handle: async (call) => {
        const { id } = call.params;
        const isGone = await store.objects.delete(ALERT_RULE, id, {
          ...writeOf(call, clock, { action: "alert-rule.delete", subject: `alert-rule/${id}` }),
          expectedRevision: call.expectedRevision,
        });
        if (!isGone) throw notFound("alert rule", id);
        return undefined;
      },
    }),
    route({
      method: "GET",
      path: "/v1/deliveries",
      access: "viewer",
      summary: "Messages to webhooks: those that wait, and those of the last week",
      query: pageQuerySchema,
      answer: pageSchema(deliveryViewSchema),
      handle: async ({ query }) => {
        const { items, next } = await store.deliveries.list(query);
        return paged(
          items.map(({ id, target, state, createdMs, dueMs, attempt, lastError }) => ({
            id,
            rule: target,
            state,
            createdAt: isoOf(createdMs),
            dueAt: isoOf(dueMs),
            attempt,
            ...(lastError === undefined ? {} : { lastError }),
          })),
          next,
        );
      },
    }),
  ];
}

/** Names are judged when a message is sent: what they lead to changes. */
function requireAllowed(url: string, mayReach: MayReach): void {
  try {
    requireReachable(new URL(url), mayReach);
  } catch (thrown) {
    const reason = `webhook.url: ${messageOf(thrown)}; allowed: public addresses, and what the hub's webhooks.allowedNetworks names`;
    throw new AppError("invalid", reason, { field: "webhook.url", cause: thrown });
  }
}

function paged<Item>(items: Item[], next: string | undefined) {
  return next === undefined ? { items } : { items, next };
}
