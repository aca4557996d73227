import type { Clock } from "../../base/clock.ts";
import { AppError, messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type Service, untilAborted } from "../../base/service.ts";
import type { Report } from "../../contract/report.ts";
import { createHeldLease } from "../held-lease.ts";
import type { Presence } from "../life/presence.ts";
import type { AlertState } from "../store/alerts.ts";
import { everyItem } from "../store/page.ts";
import type { Store } from "../store/store.ts";
import { boxOf, createAlertBook } from "./alert-book.ts";
import { type ActiveCondition, conditionsOf, offlineCondition } from "./alert-condition.ts";
import { deliveryOf } from "./alert-message.ts";
import { nextAlertStep } from "./alert-phase.ts";
import { ALERT_RULE, type AlertRule, concerns, ruleOf } from "./alert-rule.ts";

/**
 * Judges the rules. Every hub judges the reports that it takes in, at once; what only time decides (a box that is silent, an alert
 * that waits for its end) is done by the one hub that holds the lease. A transition is written under a condition, so that it is
 * told once whoever sees it.
 */
export interface AlertKeeper extends Service {
  onReport(boxId: string, report: Report): void;
  /** Alerts that are firing, as of the last look. */
  firing(): number;
}

export interface AlertKeeperDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly hubId: string;
  readonly presence: Presence;
}

const TICK_MS = 5000;
const LEASE = { name: "alerts", ttlMs: 20_000, renewMs: TICK_MS };
const PAGE = 1000;
/** A box that no rule concerns is not read again for so long. */
const UNCONCERNED_MS = 60_000;

export function createAlertKeeper(deps: AlertKeeperDeps): AlertKeeper {
  const { store, clock, log, presence } = deps;
  const lease = createHeldLease(LEASE, deps);
  let rules: readonly AlertRule[] = [];
  const book = createAlertBook();
  const unconcerned = new Map<string, number>();
  let isReadingRules = true;
  let isAway = false;

  const judge = async (rule: AlertRule, subject: string, condition: ActiveCondition | undefined) => {
    const held = book.get(rule.id, subject);
    const nowMs = clock.wallMs();
    const step = nextAlertStep(held, condition, {
      nowMs,
      forMs: rule.forSeconds * 1000,
      clearMs: rule.clearAfterSeconds * 1000,
    });
    if (step.kind === "stay") return;
    if (step.kind === "drop") return drop(rule.id, subject);
    const next = { ruleId: rule.id, subject, phase: step.phase, sinceMs: nowMs, text: step.text };
    const told = step.tell === undefined ? undefined : { tell: step.tell, rule, nowMs };
    const moved = await store.alerts.transition(next, {
      nowMs,
      expectedRevision: held?.revision ?? 0,
      deliveries: told === undefined ? [] : [deliveryOf({ ...next, revision: (held?.revision ?? 0) + 1 }, told)],
      ...(told === undefined ? {} : { event: eventOf(rule, next, told.tell) }),
    });
    book.set(moved);
    if (step.phase === "quiet") await drop(rule.id, subject);
  };

  const drop = async (ruleId: string, subject: string) => {
    const held = book.get(ruleId, subject);
    book.delete(ruleId, subject);
    if (held !== undefined) await store.alerts.clear(ruleId, subject, held.revision);
  };

  /** Another hub was first: what it wrote counts, and this hub sees it now. */
  const guarded = async (rule: AlertRule, subject: string, condition: ActiveCondition | undefined) => {
    try {
      await judge(rule, subject, condition);
    } catch (thrown) {
      if (!(thrown instanceof AppError) || thrown.code !== "conflict") throw thrown;
      const state = await store.alerts.get(rule.id, subject);
      if (state === undefined) book.delete(rule.id, subject);
      else book.set(state);
    }
  };

  const judgeReport = async (boxId: string, report: Report) => {
    const labels = await labelsOf(boxId);
    for (const rule of rules) {
      if (rule.condition === "box-offline") continue;
      const active = labels !== undefined && concerns(rule, labels) ? conditionsOf(rule, report) : [];
      const seen = new Set(active.map(({ subject }) => subject));
      const over = subjectsOf(rule, boxId).filter((subject) => !seen.has(subject));
      for (const condition of active) await guarded(rule, condition.subject, condition);
      for (const subject of over) await guarded(rule, subject, undefined);
    }
  };

  const subjectsOf = (rule: AlertRule, boxId: string): string[] =>
    book
      .ofBox(boxId)
      .filter(({ ruleId }) => ruleId === rule.id)
      .map(({ subject }) => subject);

  /** `undefined` when no box of this id may work. */
  const labelsOf = async (boxId: string) => {
    const box = await store.boxes.get(boxId);
    return box?.state === "approved" ? box.labels : undefined;
  };

  const judgeOffline = async () => {
    const offline = rules.filter(({ condition }) => condition === "box-offline");
    if (offline.length === 0) return;
    const nowMs = clock.monotonicMs();
    for (const boxId of presence.offline()) {
      if ((unconcerned.get(boxId) ?? 0) > nowMs) continue;
      if (offline.every((rule) => book.get(rule.id, `box/${boxId}`)?.phase === "firing")) continue;
      const labels = await labelsOf(boxId);
      const concerned = labels === undefined ? [] : offline.filter((rule) => concerns(rule, labels));
      if (concerned.length === 0) unconcerned.set(boxId, nowMs + UNCONCERNED_MS);
      for (const rule of concerned) await guarded(rule, `box/${boxId}`, offlineCondition(boxId));
    }
    for (const rule of offline) {
      for (const { ruleId, subject } of book.all()) {
        if (ruleId !== rule.id || presence.of(boxOf(subject)).connection === "offline") continue;
        await guarded(rule, subject, undefined);
      }
    }
  };

  /** Those that wait for a time, by the last report of their box. What an offline box would say nobody knows: it stays. */
  const judgeWaiting = async () => {
    const waiting = book.all().filter(({ phase }) => phase === "pending" || phase === "clearing");
    for (const boxId of new Set(waiting.map(({ subject }) => boxOf(subject)))) {
      if (presence.of(boxId).connection === "offline") continue;
      const held = await store.reports.get(boxId);
      if (held !== undefined) await judgeReport(boxId, { ...held.report, occurrences: [] });
    }
  };

  const dropOrphans = async () => {
    const known = new Set(rules.map(({ id }) => id));
    for (const { ruleId, subject } of book.all()) {
      const isOrphan = !known.has(ruleId) || (await store.boxes.get(boxOf(subject))) === undefined;
      if (isOrphan) await drop(ruleId, subject);
    }
  };

  const refresh = async () => {
    const found: AlertRule[] = [];
    for await (const object of everyItem((page) => store.objects.list(ALERT_RULE, page), PAGE)) {
      const rule = ruleOf(object);
      if (rule !== undefined) found.push(rule);
    }
    rules = found.filter(({ enabled }) => enabled);
    isReadingRules = false;
    const seen: AlertState[] = [];
    for await (const state of everyItem((page) => store.alerts.list(page), PAGE)) seen.push(state);
    book.replace(seen);
  };

  const tick = async () => {
    await refresh();
    const { isHeld } = await lease.hold();
    if (!isHeld) return;
    await dropOrphans();
    await judgeOffline();
    await judgeWaiting();
  };

  const attempt = async (act: () => Promise<void>) => {
    try {
      await act();
      isAway = false;
    } catch (thrown) {
      if (!isAway) log.warn(`Alerts cannot be judged: ${messageOf(thrown)}`);
      isAway = true;
    }
  };

  /** One at a time, so that two reports of a box do not overtake each other. */
  let last = Promise.resolve();
  const enqueue = (act: () => Promise<void>) => {
    last = last.then(() => attempt(act));
    return last;
  };

  return {
    name: "alerts",
    firing: () => book.all().filter(({ phase }) => phase === "firing" || phase === "clearing").length,
    onReport: (boxId, report) => {
      const isConcerned = () =>
        rules.some((rule) => conditionsOf(rule, report).length > 0 || subjectsOf(rule, boxId).length > 0);
      // While the rules are read nobody can tell.
      if (!isReadingRules && !isConcerned()) return;
      void enqueue(async () => {
        if (isConcerned()) await judgeReport(boxId, report);
      });
    },
    run: async (signal) => {
      const stopHints = store.onHint((hint) => {
        if (hint.kind !== "all" && !(hint.kind === "objects" && hint.of === ALERT_RULE)) return;
        isReadingRules = true;
        void enqueue(refresh);
      });
      try {
        // It may never be: a store that is away must not keep the hub from ending.
        await Promise.race([presence.ready, untilAborted(signal)]);
        while (!signal.aborted) {
          await enqueue(tick);
          await clock.delay(TICK_MS, signal);
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        stopHints();
        await last;
      }
    },
  };
}

function eventOf(rule: AlertRule, { subject, text }: Pick<AlertState, "subject" | "text">, tell: "fired" | "ended") {
  const [, boxId, workloadId] = subject.split("/");
  return { kind: `alert.${tell}`, boxId, workloadId, text, data: { rule: rule.id, condition: rule.condition } };
}
