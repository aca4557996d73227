import { z } from "zod";
import { AppError } from "../../base/errors.ts";
import { MASK } from "../../base/redact.ts";
import { alertRulePutSchema, type alertRuleViewSchema } from "../../contract/fleet/alert.ts";
import { maskWebhook } from "../../contract/fleet/mask-webhook.ts";
import { type LabelRequirement, matchesSelector, parseSelector } from "../../contract/fleet/selector.ts";
import type { SecretBox } from "../auth/secret-box.ts";
import type { StoredObject } from "../store/objects.ts";

/** The kind of object that a rule is in the store. */
export const ALERT_RULE = "alert-rule";

/**
 * What is stored of a rule. Address and secret of its webhook are encrypted, not hashed: nobody could be told by a hash. As they
 * are they were written by an earlier release or by a hub without a key.
 */
const storedRuleSchema = alertRulePutSchema.extend({
  webhook: alertRulePutSchema.shape.webhook.extend({
    /** The whole address; `url` is then where it leads to, without path and credentials. */
    sealedUrl: z.string().max(8192).optional(),
    sealedSecret: z.string().max(4096).optional(),
  }),
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

interface SealBy {
  readonly held: StoredWebhook | undefined;
  readonly secrets: SecretBox | undefined;
}

/**
 * A webhook as it is stored. Without a secret of its own it keeps the held one, which is not opened for that: a lost key costs
 * nobody a change of the rest. What is the same again stays as it is sealed. `unsupported`: this hub has no key to seal a secret with.
 */
export function sealWebhook(
  ruleId: string,
  { url, secret }: Pick<StoredWebhook, "url" | "secret">,
  by: SealBy,
): StoredWebhook {
  return { ...sealAddress(ruleId, url, by), ...sealSecret(ruleId, secret, by) };
}

function sealAddress(ruleId: string, url: string, { held, secrets }: SealBy): Pick<StoredWebhook, "url" | "sealedUrl"> {
  if (secrets === undefined) return { url };
  return {
    url: originOf(url),
    sealedUrl: sealOnce(url, { held: held?.sealedUrl, secrets, place: addressPlace(ruleId) }),
  };
}

function sealSecret(
  ruleId: string,
  given: string | undefined,
  { held, secrets }: SealBy,
): Pick<StoredWebhook, "secret" | "sealedSecret"> {
  if (given === undefined && held?.sealedSecret !== undefined) return { sealedSecret: held.sealedSecret };
  const secret = given ?? held?.secret;
  if (secret === undefined) return {};
  if (secrets === undefined) {
    if (secret === held?.secret) return { secret };
    throw new AppError(
      "unsupported",
      "webhook.secret: this hub has no key to encrypt it with; set secrets.keyFile, the same on all hubs of the store",
      { field: "webhook.secret" },
    );
  }
  return { sealedSecret: sealOnce(secret, { held: held?.sealedSecret, secrets, place: secretPlace(ruleId) }) };
}

/** Each sealing is another text: what means the same must stay the same. */
function sealOnce(
  text: string,
  { held, secrets, place }: { readonly held: string | undefined; readonly secrets: SecretBox; readonly place: string },
): string {
  try {
    if (held !== undefined && secrets.open(held, place) === text) return held;
  } catch {
    // Sealed with a key that is lost.
  }
  return secrets.seal(text, place);
}

const secretPlace = (ruleId: string) => `${ALERT_RULE}/${ruleId}`;
const addressPlace = (ruleId: string) => `${ALERT_RULE}/${ruleId}/url`;

function originOf(url: string): string {
  return new URL(url).origin;
}

/** What signs a rule's messages; `undefined`: they are not signed. Throws `config` when it cannot be read any more. */
export function signingSecret({ id, webhook }: AlertRule, secrets: SecretBox | undefined): string | undefined {
  if (webhook.sealedSecret === undefined) return webhook.secret;
  if (secrets !== undefined) return secrets.open(webhook.sealedSecret, secretPlace(id));
  throw new AppError("config", "the secret of the webhook is encrypted and this hub has no key: set secrets.keyFile");
}

/** Where a rule's messages go. Throws `config` when it cannot be read any more. */
export function webhookAddress({ id, webhook }: AlertRule, secrets: SecretBox | undefined): string {
  if (webhook.sealedUrl === undefined) return webhook.url;
  if (secrets !== undefined) return secrets.open(webhook.sealedUrl, addressPlace(id));
  throw new AppError("config", "the address of the webhook is encrypted and this hub has no key: set secrets.keyFile");
}

/** Pure. */
export function concerns(rule: AlertRule, labels: Readonly<Record<string, string>>): boolean {
  return matchesSelector(labels, rule.requirements);
}

/** Pure. As people see it: no secret, and no credentials in the address. */
export function viewOfRule(
  rule: AlertRule,
  stored: StoredObject,
  secrets: SecretBox | undefined,
): z.input<typeof alertRuleViewSchema> {
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
      url: shownAddress(rule, secrets),
      signed: webhook.secret !== undefined || webhook.sealedSecret !== undefined,
    },
    createdAt: new Date(stored.createdMs).toISOString(),
    updatedAt: new Date(stored.updatedMs).toISOString(),
  };
}

function shownAddress(rule: AlertRule, secrets: SecretBox | undefined): string {
  try {
    return maskWebhook(webhookAddress(rule, secrets));
  } catch {
    return `${rule.webhook.url}/${MASK}`;
  }
}
