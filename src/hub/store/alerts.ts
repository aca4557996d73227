import { collection, type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";
import { requireRevision } from "./store-error.ts";
import { change, type WriteContext } from "./write-context.ts";

/** Where one rule stands for one subject. Rules themselves are objects. Times are wall time in milliseconds. */
export interface AlertState {
  readonly ruleId: string;
  /** `box/north-1`, `box/north-1/cam-2` … */
  readonly subject: string;
  readonly revision: number;
  readonly phase: "pending" | "firing" | "clearing" | "quiet";
  readonly sinceMs: number;
  readonly text: string;
}

/** A message to a webhook. */
export interface Delivery {
  readonly id: string;
  readonly target: string;
  readonly body: unknown;
  readonly createdMs: number;
  /** `waiting`: due at `dueMs`; `sending`: a hub has it until `dueMs`, then it is due again; `sent`, `given-up`: over. */
  readonly state: "waiting" | "sending" | "sent" | "given-up";
  readonly dueMs: number;
  /** Grows with each claim: an answer for an older attempt changes nothing. */
  readonly attempt: number;
  readonly lastError?: string;
}

export interface NewDelivery {
  readonly id: string;
  readonly target: string;
  readonly body: unknown;
}

export interface AlertStore {
  get(ruleId: string, subject: string): Promise<AlertState | undefined>;
  /** In the order of rule and subject; of one rule when given. */
  list(page: PageRequest & { readonly ruleId?: string | undefined }): Promise<Page<AlertState>>;
  /**
   * Moves to another phase and puts the messages about it into the queue, in one step and durably: a transition is told
   * exactly as often as it happens. `conflict` when it is not at `expectedRevision` (0: not there): another hub was first.
   */
  transition(next: Omit<AlertState, "revision">, context: AlertWrite): Promise<AlertState>;
  /** Removes what is over. Answers whether it was at that revision. */
  clear(ruleId: string, subject: string, revision: number): Promise<boolean>;
}

export interface AlertWrite extends WriteContext {
  readonly expectedRevision: number;
  readonly deliveries: readonly NewDelivery[];
}

/** At least once: a hub that dies between sending and `succeed` leaves the message to be sent again, with the same id. */
export interface DeliveryStore {
  /** Durable. An id that is there already changes nothing. */
  enqueue(delivery: NewDelivery, nowMs: number): Promise<void>;
  /** Takes up to `limit` that are due, each for `leaseMs`. Of all hubs one gets each. */
  claim(by: { readonly nowMs: number; readonly leaseMs: number; readonly limit: number }): Promise<readonly Delivery[]>;
  /** Each answers whether `attempt` is still the one that counts. What is over is kept for `OVER_KEPT_MS`. */
  succeed(id: string, attempt: number, nowMs: number): Promise<boolean>;
  retry(id: string, attempt: number, next: { readonly dueMs: number; readonly error: string }): Promise<boolean>;
  giveUp(id: string, attempt: number, end: { readonly nowMs: number; readonly error: string }): Promise<boolean>;
  list(page: PageRequest): Promise<Page<Delivery>>;
}

export const OVER_KEPT_MS = 7 * 24 * 3_600_000;
const CLAIM_CHUNK = 200;

const states = collection<AlertState>("alert");
const deliveries = collection<Delivery>("delivery");
/** The ids that are not over, so that claiming does not read what is. */
const openDeliveries = collection<{ readonly dueMs: number }>("delivery-open");

export function createAlertStore(engine: Engine): AlertStore {
  return {
    get: async (ruleId, subject) => (await engine.read([keyOf(states, ruleId, subject)]))[0],
    list: ({ ruleId, ...page }) =>
      readPage(engine, states, {
        ...page,
        ...(ruleId === undefined ? {} : { prefix: `${ruleId}/` }),
        pick: (state) => state,
      }),
    transition: (next, context) => {
      const key = keyOf(states, next.ruleId, next.subject);
      return change(engine, { scope: "alert", keys: [key], context }, ([held]) => {
        requireRevision(`alert ${key.id}`, context.expectedRevision, held?.revision ?? 0);
        const state: AlertState = { ...next, revision: (held?.revision ?? 0) + 1 };
        return {
          answer: state,
          puts: [putOf(key, state), ...context.deliveries.flatMap((one) => putsOf(fresh(one, context.nowMs)))],
        };
      });
    },
    clear: (ruleId, subject, revision) =>
      engine.transact(
        [keyOf(states, ruleId, subject)],
        ([held]): Outcome<boolean> =>
          held?.revision === revision ? { answer: true, deletes: [keyOf(states, ruleId, subject)] } : { answer: false },
      ),
  };
}

export function createDeliveryStore(engine: Engine): DeliveryStore {
  const settle = (id: string, attempt: number, end: (delivery: Delivery) => Outcome<boolean>) =>
    engine.transact(
      [keyOf(deliveries, id)],
      ([held]): Outcome<boolean> =>
        held?.state === "sending" && held.attempt === attempt ? end(held) : { answer: false },
    );
  const over = (delivery: Delivery, nowMs: number): Outcome<boolean> => ({
    answer: true,
    puts: [putOf(keyOf(deliveries, delivery.id), delivery, nowMs + OVER_KEPT_MS)],
    deletes: [keyOf(openDeliveries, delivery.id)],
  });
  const claimOne = (id: string, nowMs: number, leaseMs: number) =>
    engine.transact([keyOf(deliveries, id)], ([held]): Outcome<Delivery | undefined> => {
      if (held === undefined || held.dueMs > nowMs || isOver(held)) return { answer: undefined };
      const claimed: Delivery = { ...held, state: "sending", dueMs: nowMs + leaseMs, attempt: held.attempt + 1 };
      return { answer: claimed, puts: putsOf(claimed) };
    });
  return {
    enqueue: (delivery, nowMs) =>
      engine.transact(
        [keyOf(deliveries, delivery.id)],
        ([held]): Outcome<void> =>
          held === undefined ? { answer: undefined, puts: putsOf(fresh(delivery, nowMs)) } : { answer: undefined },
      ),
    claim: async ({ nowMs, leaseMs, limit }) => {
      const claimed: Delivery[] = [];
      for (let after: string | undefined; claimed.length < limit; ) {
        const { documents, next } = await engine.list(openDeliveries, { after, limit: CLAIM_CHUNK });
        for (const { id, body } of documents) {
          if (claimed.length >= limit || body.dueMs > nowMs) continue;
          const delivery = await claimOne(id, nowMs, leaseMs);
          if (delivery !== undefined) claimed.push(delivery);
        }
        if (next === undefined) break;
        after = next;
      }
      return claimed;
    },
    succeed: (id, attempt, nowMs) => settle(id, attempt, (held) => over({ ...held, state: "sent" }, nowMs)),
    retry: (id, attempt, { dueMs, error }) =>
      settle(id, attempt, (held) => ({
        answer: true,
        puts: putsOf({ ...held, state: "waiting", dueMs, lastError: error }),
      })),
    giveUp: (id, attempt, { nowMs, error }) =>
      settle(id, attempt, (held) => over({ ...held, state: "given-up", lastError: error }, nowMs)),
    list: (page) => readPage(engine, deliveries, { ...page, pick: (delivery) => delivery }),
  };
}

function fresh({ id, target, body }: NewDelivery, nowMs: number): Delivery {
  return { id, target, body, createdMs: nowMs, state: "waiting", dueMs: nowMs, attempt: 0 };
}

function putsOf(delivery: Delivery) {
  return [
    putOf(keyOf(deliveries, delivery.id), delivery),
    putOf(keyOf(openDeliveries, delivery.id), { dueMs: delivery.dueMs }),
  ];
}

function isOver({ state }: Delivery): boolean {
  return state === "sent" || state === "given-up";
}
