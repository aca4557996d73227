import { fullJitterMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { HttpFetch } from "../../base/http-fetch.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Service } from "../../base/service.ts";
import type { SecretBox } from "../auth/secret-box.ts";
import type { Delivery } from "../store/alerts.ts";
import type { Store } from "../store/store.ts";
import { signatureHeaders } from "./alert-message.ts";
import { ALERT_RULE, ruleOf, signingSecret, webhookAddress } from "./alert-rule.ts";

/** Tells webhooks. At least once: a hub that dies while it sends leaves the message to another. */
export interface WebhookSender extends Service {
  /** Attempts since the start. */
  counts(): Readonly<Record<"sent" | "failed" | "given-up", number>>;
}

export interface WebhookSenderDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Goes only where webhooks may lead. */
  readonly fetch: HttpFetch;
  readonly secrets: SecretBox | undefined;
  readonly version: string;
}

const LOOK_MS = 1000;
const AT_ONCE = 8;
const ANSWER_MS = 10_000;
const LEASE_MS = 30_000;
const BACKOFF = { baseMs: 5000, maxMs: 3_600_000 };
/** With the back-off, about a day. */
const ATTEMPTS = 32;

export function createWebhookSender(deps: WebhookSenderDeps): WebhookSender {
  const { store, clock, random, log } = deps;
  const counts = { sent: 0, failed: 0, "given-up": 0 };
  let isAway = false;

  const post = async (delivery: Delivery, signal: AbortSignal) => {
    const object = await store.objects.get(ALERT_RULE, delivery.target);
    const rule = object === undefined ? undefined : ruleOf(object);
    if (rule === undefined) throw new AppError("not-found", `the rule ${delivery.target} is gone`);
    const body = JSON.stringify(delivery.body);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const response = await deps.fetch(new URL(webhookAddress(rule, deps.secrets)), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "user-agent": `sluice-hub/${deps.version}`,
        "x-sluice-delivery": delivery.id,
        // Never unsigned because a key is lost: a receiver could not tell it from anybody's.
        ...signatureHeaders(body, signingSecret(rule, deps.secrets), clock.wallMs()),
      },
      body,
      redirect: "manual",
      signal: limit,
    });
    await response.body?.cancel();
    if (response.ok) return;
    if (response.status >= 300 && response.status < 400) {
      throw new AppError(
        "unavailable",
        `the webhook answered ${response.status}: redirects are not followed, give the rule the final address`,
      );
    }
    throw new AppError("unavailable", `the webhook answered ${response.status}`);
  };

  const deliver = async (delivery: Delivery, signal: AbortSignal) => {
    const { id, attempt } = delivery;
    try {
      await post(delivery, signal);
      counts.sent++;
      await store.deliveries.succeed(id, attempt, clock.wallMs());
    } catch (thrown) {
      if (thrown instanceof AppError && thrown.code === "store-unavailable") throw thrown;
      const error = messageOf(thrown).slice(0, 300);
      const isHopeless = attempt >= ATTEMPTS || (thrown instanceof AppError && thrown.code === "not-found");
      if (isHopeless) {
        counts["given-up"]++;
        log.warn(`The message ${id} was given up: ${error}`);
        await store.deliveries.giveUp(id, attempt, { nowMs: clock.wallMs(), error });
        return;
      }
      counts.failed++;
      const waitMs = 1000 + fullJitterMs(attempt - 1, BACKOFF, random);
      await store.deliveries.retry(id, attempt, { dueMs: clock.wallMs() + waitMs, error });
    }
  };

  return {
    name: "webhooks",
    counts: () => ({ ...counts }),
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          await clock.delay(LOOK_MS, signal);
          const due = await store.deliveries.claim({ nowMs: clock.wallMs(), leaseMs: LEASE_MS, limit: AT_ONCE });
          await Promise.all(due.map((delivery) => deliver(delivery, signal)));
          isAway = false;
        } catch (thrown) {
          if (signal.aborted) return;
          if (!isAway) log.warn(`Webhooks cannot be told: ${messageOf(thrown)}`);
          isAway = true;
        }
      }
    },
  };
}
