import { createAlertStore, createDeliveryStore } from "./alerts.ts";
import { createAuditLog } from "./audit-log.ts";
import { boxOfSessionTopic, boxOfSetTopic, boxOfTopic, boxOfTunnelTopic } from "./box-documents.ts";
import { createBoxStore, createEnrolmentTokenStore } from "./boxes.ts";
import { createCommandStore } from "./commands.ts";
import type { Engine } from "./engine.ts";
import { createEventLog } from "./event-log.ts";
import { createExpectedStore } from "./expected.ts";
import { createHistoryStore } from "./history.ts";
import { createLeaseStore } from "./leases.ts";
import { createObjectStore, kindOfTopic } from "./objects.ts";
import { createOperatorTokenStore, OPERATORS_TOPIC } from "./operator-tokens.ts";
import { createReportStore } from "./reports.ts";
import type { SetNews } from "./set-news.ts";
import type { Hint, Store } from "./store.ts";
import { createTelemetryStore } from "./telemetry.ts";

export interface StoreDeps {
  /** A new id that was never given out before: the epoch of a set, of a log. Letters, digits and dashes. */
  readonly newId: () => string;
}

const EXPIRE_AT_ONCE = 500;

/** The verbs over an engine. */
export function createStore(engine: Engine, { newId }: StoreDeps): Store {
  return {
    boxes: createBoxStore(engine),
    enrolmentTokens: createEnrolmentTokenStore(engine),
    expected: createExpectedStore(engine, newId),
    reports: createReportStore(engine),
    history: createHistoryStore(engine),
    telemetry: createTelemetryStore(engine),
    commands: createCommandStore(engine),
    operatorTokens: createOperatorTokenStore(engine),
    objects: createObjectStore(engine),
    alerts: createAlertStore(engine),
    deliveries: createDeliveryStore(engine),
    leases: createLeaseStore(engine),
    events: createEventLog(engine, newId),
    audit: createAuditLog(engine),
    onHint: (listener) => engine.onWake((topic, news) => listener(hintOf(topic, news))),
    maintain: async (nowMs) => {
      for (let removed = 0; ; ) {
        const some = await engine.expire(nowMs, EXPIRE_AT_ONCE);
        removed += some;
        if (some < EXPIRE_AT_ONCE) return { removed };
      }
    },
    ping: () => engine.ping(),
    close: () => engine.close(),
  };
}

function hintOf(topic: string | undefined, news: SetNews | undefined): Hint {
  if (topic === undefined) return { kind: "all" };
  const boxId = boxOfTopic(topic);
  if (boxId !== undefined) return { kind: "box", boxId };
  const told = boxOfTunnelTopic(topic);
  if (told !== undefined) return { kind: "tunnel-facts", boxId: told };
  const toldOfSessions = boxOfSessionTopic(topic);
  if (toldOfSessions !== undefined) return { kind: "session-facts", boxId: toldOfSessions };
  const boxOfSet = boxOfSetTopic(topic);
  if (boxOfSet !== undefined) return { kind: "expected", boxId: boxOfSet, ...(news === undefined ? {} : { news }) };
  const of = kindOfTopic(topic);
  if (of !== undefined) return { kind: "objects", of };
  return { kind: topic === OPERATORS_TOPIC ? "operators" : "events" };
}
