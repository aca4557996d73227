import { AppError, messageOf } from "../../base/errors.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import type { HubContext } from "../hub-context.ts";
import type { StoredObject } from "../store/objects.ts";
import { ALERT_RULE, ruleOf, sealWebhook } from "./alert-rule.ts";

const PAGE = 200;
const RETRY_MS = 10_000;

/** Encrypts, once, the secrets that an earlier release has left in the store as they are, and says which can be read no more. */
export function createRuleSealer({
  store,
  clock,
  log,
  secrets,
}: Pick<HubContext, "store" | "clock" | "log" | "secrets">): Service {
  const seal = async (object: StoredObject): Promise<"sealed" | "clear" | "lost" | "none"> => {
    const rule = ruleOf(object);
    if (rule?.webhook.sealedSecret !== undefined) {
      try {
        secrets?.open(rule.webhook.sealedSecret, `${ALERT_RULE}/${object.id}`);
        return secrets === undefined ? "lost" : "none";
      } catch {
        return "lost";
      }
    }
    if (rule?.webhook.secret === undefined) return "none";
    if (secrets === undefined) return "clear";
    const { id: _id, requirements: _requirements, ...body } = rule;
    const webhook = sealWebhook(object.id, rule.webhook, { held: undefined, secrets });
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

  const sealAll = async () => {
    const counts = { sealed: 0, clear: 0, lost: 0, none: 0 };
    let after: string | undefined;
    do {
      const page = await store.objects.list(ALERT_RULE, { after, limit: PAGE });
      for (const object of page.items) counts[await seal(object)]++;
      after = page.next;
    } while (after !== undefined);
    if (counts.sealed > 0)
      log.info(`Encrypted the secrets of ${counts.sealed} webhooks, which lay in the store as they are`);
    if (counts.clear > 0) {
      log.warn(`The secrets of ${counts.clear} webhooks lie in the store as they are: set secrets.keyFile on all hubs`);
    }
    if (counts.lost > 0) {
      log.error(
        `The secrets of ${counts.lost} webhooks were encrypted with another key, and their messages wait: give this hub that key (secrets.keyFile), or set the secrets again`,
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
          log.debug(`Secrets of webhooks could not be looked through yet: ${messageOf(thrown)}`);
          await clock.delay(RETRY_MS, signal).catch(() => undefined);
        }
      }
      await untilAborted(signal);
    },
  };
}
