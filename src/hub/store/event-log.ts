import { type Append, collection, type Engine, keyOf, type Log, type LogEntry, putOf } from "./engine.ts";

/** Something that people who watch the fleet want to see: the source of `/v1/events`. */
export interface NewEvent {
  /** `box.state`, `expected.changed`, `alert.fired` … */
  readonly kind: string;
  readonly boxId?: string | undefined;
  readonly workloadId?: string | undefined;
  /** One line for people. */
  readonly text: string;
  /** Small facts for programs. */
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

export interface HubEvent extends NewEvent {
  readonly cursor: string;
  readonly atMs: number;
}

/** Either the events after a cursor, or word that some of them are gone: read the state afresh and go on from `cursor`. */
export type EventsAfter =
  | { readonly kind: "events"; readonly events: readonly HubEvent[]; readonly cursor: string }
  | { readonly kind: "gone"; readonly reason: "too-old" | "other-store" | "ahead"; readonly cursor: string };

export interface EventLog {
  /** Durable when it resolves; one order for all hubs of the store. */
  append(event: NewEvent, nowMs: number): Promise<void>;
  /**
   * Events after a cursor, oldest first. Without a cursor: none, and the cursor of now. A cursor given out by one hub
   * holds on every other. Of the log the last `EVENTS_KEPT` are there.
   */
  after(cursor: string | undefined, limit: number): Promise<EventsAfter>;
  /** The last events, oldest first, and the cursor of the last of them. */
  recent(limit: number): Promise<{ readonly events: readonly HubEvent[]; readonly cursor: string }>;
}

export const EVENTS_KEPT = 20_000;
export const EVENTS_TOPIC = "events";

const log: Log<NewEvent> = { name: "events" };
/** Made with the store, and new after it was emptied: a cursor of another life is never taken for one of this. */
const epochs = collection<{ readonly epoch: string }>("store-epoch");
const epochKey = keyOf(epochs, "epoch");

export function eventAppend(event: NewEvent, nowMs: number): Append {
  return { log, body: event, atMs: nowMs, keep: EVENTS_KEPT };
}

export function createEventLog(engine: Engine, newId: () => string): EventLog {
  const readEpoch = async () => {
    const [held] = await engine.read([epochKey]);
    if (held !== undefined) return held.epoch;
    return engine.transact([epochKey], ([current]) => {
      if (current !== undefined) return { answer: current.epoch };
      const epoch = newId();
      return { answer: epoch, puts: [putOf(epochKey, { epoch })] };
    });
  };
  return {
    append: (event, nowMs) =>
      engine.transact([], () => ({ answer: undefined, appends: [eventAppend(event, nowMs)], wakes: [EVENTS_TOPIC] })),
    after: async (cursor, limit) => {
      const epoch = await readEpoch();
      const from = parseCursor(cursor);
      const slice = await engine.readLog(log, from?.sequence ?? Number.MAX_SAFE_INTEGER, limit);
      const now = `${epoch}.${slice.last}`;
      if (cursor === undefined) return { kind: "events", events: [], cursor: now };
      if (from === undefined || from.epoch !== epoch) return { kind: "gone", reason: "other-store", cursor: now };
      if (from.sequence > slice.last) return { kind: "gone", reason: "ahead", cursor: now };
      if (from.sequence < slice.first - 1) return { kind: "gone", reason: "too-old", cursor: now };
      const events = slice.entries.map((entry) => toEvent(epoch, entry));
      return { kind: "events", events, cursor: events.at(-1)?.cursor ?? cursor };
    },
    recent: async (limit) => {
      const epoch = await readEpoch();
      const entries = await engine.readLogBack(log, Number.MAX_SAFE_INTEGER, limit);
      const events = entries.map((entry) => toEvent(epoch, entry)).reverse();
      return { events, cursor: events.at(-1)?.cursor ?? `${epoch}.0` };
    },
  };
}

function toEvent(epoch: string, { sequence, atMs, body }: LogEntry<NewEvent>): HubEvent {
  return { ...body, cursor: `${epoch}.${sequence}`, atMs };
}

export interface Cursor {
  readonly epoch: string;
  readonly sequence: number;
}

/** `<epoch>.<number>`; `undefined` for anything else. */
export function parseCursor(text: string | undefined): Cursor | undefined {
  const dot = text?.lastIndexOf(".") ?? -1;
  if (text === undefined || dot < 1) return undefined;
  const digits = text.slice(dot + 1);
  const sequence = Number(digits);
  if (!/^\d{1,16}$/.test(digits) || !Number.isSafeInteger(sequence)) return undefined;
  return { epoch: text.slice(0, dot), sequence };
}
