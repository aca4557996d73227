import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { alertRulePutSchema, type alertRuleViewSchema } from "../../contract/fleet/alert.ts";
import { maskWebhook } from "../../contract/fleet/mask-webhook.ts";
import { type LabelRequirement, matchesSelector, parseSelector } from "../../contract/fleet/selector.ts";
import type { SecretBox } from "../auth/secret-box.ts";
import type { StoredObject } from "../store/objects.ts";

/** The kind of object that a rule is in the store. */
export const ALERT_RULE = "alert-rule";

/**
 * What is stored of a rule. The secret of its webhook is encrypted, not hashed: a signature cannot be made of a hash. `secret`, as it
 * is, was written by an earlier release or by a hub without a key.
 */
const storedRuleSchema = alertRulePutSchema.extend({
  webhook: alertRulePutSchema.shape.webhook.extend({ sealedSecret: z.string().max(4096).optional() }),
});
export type AlertRuleBody = z.output<typeof storedRuleSchema>;
type StoredWebhook = AlertRuleBody["webhook"];

export interface AlertRule extends AlertRuleBody {
  readonly id: string;
  readonly requirements: readonly LabelRequirement[];
}

/** Pure. `undefined` for what this version cannot read. */
export function ruleOf({ id, body }: Pick<StoredObject, "id" | "body">): AlertRule | undefined {
  const parsed = storedRuleSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const selector = parseSelector(parsed.data.selector);
  return { ...parsed.data, id, requirements: selector.ok ? selector.requirements : [] };
}

/**
 * A webhook as it is stored. Without a secret of its own it keeps the held one, which is not opened for that: a lost key costs
 * nobody a change of the rest. The same secret again stays as it is sealed. `unsupported`: this hub has no key to seal with.
 */
export function sealWebhook(
  ruleId: string,
  { url, secret }: Pick<StoredWebhook, "url" | "secret">,
  by: { readonly held: StoredWebhook | undefined; readonly secrets: SecretBox | undefined },
): StoredWebhook {
  const { held, secrets } = by;
  if (secret === undefined) {
    if (held?.sealedSecret !== undefined) return { url, sealedSecret: held.sealedSecret };
    return held?.secret === undefined ? { url } : sealWebhook(ruleId, { url, secret: held.secret }, by);
  }
  if (secrets === undefined) {
    if (secret === held?.secret) return { url, secret };
    throw new AppError(
      "unsupported",
      "webhook.secret: this hub has no key to encrypt it with; set secrets.keyFile, the same on all hubs of the store",
      { field: "webhook.secret" },
    );
  }
  const place = `${ALERT_RULE}/${ruleId}`;
  if (held?.sealedSecret !== undefined && isSame(held.sealedSecret, secret))
    return { url, sealedSecret: held.sealedSecret };
  return { url, sealedSecret: secrets.seal(secret, place) };

  function isSame(sealed: string, text: string): boolean {
    try {
      return secrets?.open(sealed, place) === text;
    } catch {
      return false;
    }
  }
}

/** What signs a rule's messages; `undefined`: they are not signed. Throws `config` when it cannot be read any more. */
export function signingSecret({ id, webhook }: AlertRule, secrets: SecretBox | undefined): string | undefined {
  if (webhook.sealedSecret === undefined) return webhook.secret;
  if (secrets !== undefined) return secrets.open(webhook.sealedSecret, `${ALERT_RULE}/${id}`);
  throw new AppError("config", "the secret of the webhook is encrypted and this hub has no key: set secrets.keyFile");
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
    webhook: {
      url: maskWebhook(webhook.url),
      signed: webhook.secret !== undefined || webhook.sealedSecret !== undefined,
    },
    createdAt: new Date(stored.createdMs).toISOString(),
    updatedAt: new Date(stored.updatedMs).toISOString(),
  };
}
