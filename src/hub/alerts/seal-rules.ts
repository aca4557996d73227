import { AppError, messageOf } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";
import type { StoredObject } from "../store/objects.ts";
import { everyItem } from "../store/page.ts";
import { ALERT_RULE, type AlertRule, ruleOf, sealWebhook, signingSecret, webhookAddress } from "./alert-rule.ts";

const PAGE = 200;
const RETRY_MS = 10_000;

/** Encrypts, once, the webhooks that an earlier release has left in the store as they are, and says which can be read no more. */
export function createRuleSealer({
  store,
  clock,
  log,
  secrets,
}: Pick<HubContext, "store" | "clock" | "log" | "secrets">): Service {
  const seal = async (object: StoredObject): Promise<"sealed" | "clear" | "lost" | "none"> => {
    const rule = ruleOf(object);
    if (rule === undefined) return "none";
    if (isLost(rule)) return "lost";
    const { id: _id, requirements: _requirements, ...body } = rule;
    if (rule.webhook.sealedUrl !== undefined && rule.webhook.secret === undefined) return "none";
    if (secrets === undefined) return "clear";
    const webhook = sealWebhook(
      object.id,
      { url: webhookAddress(rule, secrets), secret: rule.webhook.secret },
      { held: rule.webhook, secrets },
    );
    const subject = `${ALERT_RULE}/${object.id}`;
    const audit = { actor: "hub", action: "alert-rule.encrypt", subject, outcome: "done" } as const;
    const context = { nowMs: clock.wallMs(), expectedRevision: object.revision, audit };
    try {
      await store.objects.put({ kind: ALERT_RULE, id: object.id, body: { ...body, webhook } }, context);
    } catch (thrown) {
      // Somebody changed it meanwhile, and that has encrypted it.
      if (!(thrown instanceof AppError && thrown.code === "conflict")) throw thrown;
    }
    return "sealed";
  };

  const isLost = (rule: AlertRule): boolean => {
    try {
      webhookAddress(rule, secrets);
      signingSecret(rule, secrets);
      return false;
    } catch {
      return true;
    }
  };

  const sealAll = async () => {
    const counts = { sealed: 0, clear: 0, lost: 0, none: 0 };
    for await (const object of everyItem((page) => store.objects.list(ALERT_RULE, page), PAGE)) {
      counts[await seal(object)]++;
    }
    if (counts.sealed > 0)
      log.info(`Encrypted ${counts.sealed} webhooks, whose addresses and secrets lay in the store as they are`);
    if (counts.clear > 0) {
      log.warn(
        `${counts.clear} webhooks lie in the store as they are, whole addresses and secrets: set secrets.keyFile on all hubs`,
      );
    }
    if (counts.lost > 0) {
      log.error(
        `${counts.lost} webhooks were encrypted with another key, and their messages wait: give this hub that key (secrets.keyFile), or set addresses and secrets again`,
      );
    }
  };

  return {
    name: "rule sealer",
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          await sealAll();
          break;
        } catch (thrown) {
          log.debug(`Webhooks could not be looked through yet: ${messageOf(thrown)}`);
          await clock.delay(RETRY_MS, signal).catch(() => undefined);
        }
      }
      await untilAborted(signal);
    },
  };
}
