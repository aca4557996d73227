import type { z } from "zod";
import { alertRulePutSchema, type alertRuleViewSchema } from "../../contract/fleet/alert.ts";
import { maskWebhook } from "../../contract/fleet/mask-webhook.ts";
import { type LabelRequirement, matchesSelector, parseSelector } from "../../contract/fleet/selector.ts";
import type { StoredObject } from "../store/objects.ts";

/** The kind of object that a rule is in the store. */
export const ALERT_RULE = "alert-rule";

/** What is stored of a rule. The secret of its webhook is in it as it is: a signature cannot be made of a hash. */
export type AlertRuleBody = z.output<typeof alertRulePutSchema>;

export interface AlertRule extends AlertRuleBody {
  readonly id: string;
  readonly requirements: readonly LabelRequirement[];
}

/** Pure. `undefined` for what this version cannot read. */
export function ruleOf({ id, body }: Pick<StoredObject, "id" | "body">): AlertRule | undefined {
  const parsed = alertRulePutSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const selector = parseSelector(parsed.data.selector);
  return { ...parsed.data, id, requirements: selector.ok ? selector.requirements : [] };
}

/** Pure. */
export function concerns(rule: AlertRule, labels: Readonly<Record<string, string>>): boolean {
  return matchesSelector(labels, rule.requirements);
}

/** Pure. As people see it: no secret, and no credentials in the address. */
export function viewOfRule(rule: AlertRule, stored: StoredObject): z.input<typeof alertRuleViewSchema> {
  const { id, condition, selector, forSeconds, clearAfterSeconds, threshold, enabled, webhook } = rule;
  return {
    id,
    revision: stored.revision,
    condition,
    selector,
    forSeconds,
    clearAfterSeconds,
    threshold,
    enabled,
    webhook: { url: maskWebhook(webhook.url), signed: webhook.secret !== undefined },
    createdAt: new Date(stored.createdMs).toISOString(),
    updatedAt: new Date(stored.updatedMs).toISOString(),
  };
}
