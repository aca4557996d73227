import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { createLineBudget } from "../../base/line-budget.ts";
import type { Log } from "../../base/log.ts";
import { parseWireEvent } from "../../contract/parse-wire-event.ts";
import type { BadEventReason, WireEvent } from "../../contract/wire-event.ts";
import { DEFAULT_JSON_LIMITS } from "../../contract/wire-event-json.ts";
import type { Arrival } from "./attempt.ts";
import { createReplayWindow, type Delivery } from "./replay-window.ts";
import { createSerialQueue } from "./serial-queue.ts";

export interface LinkIntakeOptions {
  readonly outputTemplate: string | undefined;
  readonly maxEventBytes: number;
}

export interface LinkIntakeDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `cursorId` is the id that the event carried: `undefined` for none, `""` takes the cursor back. */
  readonly onEvent: (event: WireEvent, cursorId: string | undefined) => void | Promise<void>;
  /** The cursor moved without an event: an id alone, or an event that was skipped. `""` takes it back. */
  readonly onCursor: (cursorId: string) => void | Promise<void>;
  readonly onBadEvent?: (reason: BadEventReason, message: string) => void;
}

/** Counters since the start. */
export interface IntakeCounts {
  readonly events: number;
  readonly badEvents: Readonly<Record<string, number>>;
  readonly lastBadEvent: string | undefined;
}

/** From what a connection brought to what the agent is told: in order, one at a time, nothing bad stops anything else. */
export interface LinkIntake {
  arrive(arrival: Arrival): void;
  openWindow(): void;
  completeWindow(): void;
  abandonWindow(): void;
  room(): Promise<void>;
  idle(): Promise<void>;
  counts(): IntakeCounts;
}

type Item = Arrival | { readonly kind: "window"; readonly step: "open" | "complete" | "abandon" };

/** Reading stops above these: TCP then slows the server down, and no event is lost. Dropping the connection would replay all of them. */
const QUEUE_BOUNDS = { maxItems: 256, maxBytes: 2 * 1024 * 1024 };
const MAX_REMEMBERED_NAMES = 200;
const BAD_EVENT_LINES_PER_MINUTE = 20;
const SLOW_HANDLER_MS = 30_000;

/** `onWhole` is called when an event that holds the whole set is about to be delivered. */
export function createLinkIntake(options: LinkIntakeOptions, deps: LinkIntakeDeps, onWhole: () => void): LinkIntake {
  const { log } = deps;
  const window = createReplayWindow();
  const named = new Set<string>();
  const badLines = createLineBudget(BAD_EVENT_LINES_PER_MINUTE, deps.clock);
  const badEvents: Record<string, number> = {};
  let lastBadEvent: string | undefined;
  let events = 0;

  const sayOnce = (line: string) => {
    if (named.has(line) || named.size >= MAX_REMEMBERED_NAMES) return;
    named.add(line);
    log.info(line);
  };

  const countBad = (reason: string, message: string) => {
    badEvents[reason] = (badEvents[reason] ?? 0) + 1;
    lastBadEvent = `${reason}: ${message}`;
    badLines.write(`Event skipped (${reason}): ${message}`, log.warn);
  };

  /** Runs what others gave us. Whatever it throws ends here. */
  const guarded = async (what: string, call: () => void | Promise<void>) => {
    const slow = deps.clock.timer(SLOW_HANDLER_MS, () => {
      log.warn(`${what} has taken ${SLOW_HANDLER_MS / 1000} s; nothing more is read until it is done`);
    });
    try {
      await call();
    } catch (thrown) {
      countBad("handler-failed", `${what}: ${messageOf(thrown)}`);
    } finally {
      slow.clear();
    }
  };

  const moveCursor = async (id: string | undefined) => {
    if (id !== undefined) await guarded("keeping the cursor", () => deps.onCursor(id));
  };

  const skipBad = async (reason: BadEventReason, message: string, id: string | undefined) => {
    countBad(reason, message);
    await guarded("reporting a bad event", () => deps.onBadEvent?.(reason, message));
    // It will never be applied: the cursor passes it, or the server would send it again after each connect.
    await moveCursor(id);
  };

  const deliver = async (deliveries: readonly Delivery[]) => {
    for (const { event, cursorId } of deliveries) {
      // First, so that the handler can ask for another one.
      if (event.kind === "snapshot" || event.kind === "whole") onWhole();
      await guarded(`handling a ${event.kind} event`, () => deps.onEvent(event, cursorId));
    }
  };

  const takeEvent = async (name: string, data: string, id: string | undefined) => {
    events++;
    const limits = { ...DEFAULT_JSON_LIMITS, maxBytes: options.maxEventBytes };
    const parsed = parseWireEvent(name, data, { outputTemplate: options.outputTemplate, limits });
    if ("bad" in parsed) return skipBad(parsed.bad, parsed.message, id);
    if ("ignored" in parsed) {
      sayOnce(`Ignored: ${parsed.ignored}`);
      return moveCursor(id);
    }
    for (const field of parsed.unknownFields) sayOnce(`Ignored: unknown field "${field}" in a ${parsed.ok.kind} event`);
    return deliver(window.offer({ event: parsed.ok, cursorId: id }));
  };

  const stepWindow = async (step: "open" | "complete" | "abandon") => {
    if (step === "open") return window.open();
    if (step === "abandon") return deliver(window.abandon());
    const deliveries = window.complete();
    if (deliveries.length === 0) log.debug("No start came within the replay window: nothing changes");
    return deliver(deliveries);
  };

  const queue = createSerialQueue<Item>(QUEUE_BOUNDS, async (item) => {
    switch (item.kind) {
      case "event":
        return takeEvent(item.name, item.data, item.id);
      case "cursor":
        return moveCursor(item.id);
      case "oversized": {
        events++;
        const message = `event: given ${item.bytes} bytes; allowed: at most ${options.maxEventBytes}`;
        return skipBad("too-large", message, item.id);
      }
      case "window":
        return stepWindow(item.step);
    }
  });

  return {
    arrive: (arrival) => queue.push(arrival, arrival.kind === "event" ? arrival.data.length : 0),
    openWindow: () => queue.push({ kind: "window", step: "open" }, 0),
    completeWindow: () => queue.push({ kind: "window", step: "complete" }, 0),
    abandonWindow: () => queue.push({ kind: "window", step: "abandon" }, 0),
    room: () => queue.room(),
    idle: () => queue.idle(),
    counts: () => ({ events, badEvents: { ...badEvents }, lastBadEvent }),
  };
}
