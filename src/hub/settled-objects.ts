import { AppError } from "../base/errors.ts";
import { untilAborted } from "../base/service.ts";
import { createHeldLease } from "./held-lease.ts";
import type { HubContext } from "./hub-context.ts";
import { createLapBell, runLeasedLaps } from "./leased-laps.ts";
import type { Hint } from "./store/store.ts";

/** Objects of one kind that hubs bring to what people want of them. */
export interface SettledKind<Thing> {
  /** `tunnels`: of the lease. */
  readonly name: string;
  /** Begins the sentence that says that it cannot be done: `Tunnels`. */
  readonly title: string;
  /** `Tunnel`: one of them, for the log. */
  readonly noun: string;
  /** As the store keeps them. */
  readonly objectKind: string;
  /** Also what was missed by every hint is found by then. */
  readonly fullLapMs: number;
  /** `before`: as last listed. */
  list(before: ReadonlyMap<string, Thing>): Promise<ReadonlyMap<string, Thing>>;
  find(id: string): Promise<Thing | undefined>;
  /** One step: plans, and writes the difference. Rejects with `conflict` or `not-found` where someone was quicker. */
  step(thing: Thing, how: { readonly isFull: boolean; readonly isFirst: boolean }): Promise<SettledStep>;
  /** Before a lap's steps; more may be marked now. `isNew`: this hub has just got the lease. */
  onLap(lap: { readonly isFull: boolean; readonly isNew: boolean }): Promise<void>;
  /** After all of them. */
  onLapDone?(lap: { readonly isFull: boolean }): Promise<void>;
  /** A lap has failed: what was to be done is done in the next. */
  onFailed?(): void;
  /** Someone was quicker: what was read meanwhile is not trusted. */
  onRace?(): void;
  /** It is no more. */
  onGone?(id: string): void;
  /** Milliseconds until something beside the steps is due. */
  untilDueMs?(): number;
  onHint(hint: Hint): void;
}

export interface SettledStep {
  /** Something was written, so that another step may be due. */
  readonly mayGoOn: boolean;
  /** Wall time at which something is due without any word from outside. */
  readonly dueMs: number | undefined;
}

export interface SettledObjects<Thing> {
  /** As last listed. */
  all(): ReadonlyMap<string, Thing>;
  /** It is looked at in the next lap. */
  mark(id: string): void;
  /** Everything is. */
  markAll(): void;
  /** Asks for a lap now. */
  ring(): void;
  /** `ready`: of what must be known before anything is done. */
  run(ready: Promise<unknown>, signal: AbortSignal): Promise<void>;
}

const RENEW_MS = 2000;
/** Short: two hubs that both believe to hold it come to the same, so only work done twice is at stake. */
const LEASE_TTL_MS = 6000;
const RETRY_MS = 500;
const AT_ONCE = 16;
/** Several steps may be due one after the other; none waits for a hint. */
const STEPS_A_TURN = 8;

/**
 * One hub at a time does it, by lease. Level-triggered: each turn reads what is there, plans, and writes the difference; a hub that
 * dies between two writes leaves nothing that the next turn does not find.
 */
export function createSettledObjects<Thing extends { readonly revision: number }>(
  kind: SettledKind<Thing>,
  context: Pick<HubContext, "store" | "clock" | "log" | "hubId">,
): SettledObjects<Thing> {
  const { store, clock, log } = context;
  let things: Map<string, Thing> = new Map();
  const dirty = new Set<string>();
  const dueAtMs = new Map<string, number>();
  let mustList = true;
  let fullAtMs = Number.NEGATIVE_INFINITY;
  const bell = createLapBell();
  const lease = createHeldLease({ name: kind.name, ttlMs: LEASE_TTL_MS, renewMs: RENEW_MS }, context);

  const markAll = () => {
    fullAtMs = Number.NEGATIVE_INFINITY;
    bell.ring();
  };

  const forget = (id: string) => {
    things.delete(id);
    dueAtMs.delete(id);
    kind.onGone?.(id);
  };

  const list = async (): Promise<void> => {
    mustList = false;
    try {
      const before = things;
      things = new Map(await kind.list(before));
      for (const id of before.keys()) if (!things.has(id)) forget(id);
      for (const [id, { revision }] of things) if (before.get(id)?.revision !== revision) dirty.add(id);
    } catch (thrown) {
      mustList = true;
      throw thrown;
    }
  };

  const settle = async (id: string, isFull: boolean): Promise<void> => {
    for (let step = 0; step < STEPS_A_TURN; step++) {
      const thing = await kind.find(id);
      dueAtMs.delete(id);
      if (thing === undefined) {
        forget(id);
        return;
      }
      try {
        const { mayGoOn, dueMs } = await kind.step(thing, { isFull, isFirst: step === 0 });
        if (dueMs !== undefined) dueAtMs.set(id, dueMs);
        if (!mayGoOn) return;
      } catch (thrown) {
        const isRace = thrown instanceof AppError && (thrown.code === "conflict" || thrown.code === "not-found");
        if (!isRace) throw thrown;
        // Someone was quicker; what they wrote is read in the next step.
        log.debug(`${kind.noun} ${id} changed meanwhile: ${thrown.message}`);
        kind.onRace?.();
      }
    }
    dirty.add(id);
  };

  const lap = async (): Promise<void> => {
    bell.silence();
    const isDue = clock.monotonicMs() >= fullAtMs;
    if (mustList || isDue) await list();
    // A fleet without any costs no lease.
    if (things.size === 0 && !lease.isHeld()) return;
    const { isHeld, isNew } = await lease.hold();
    if (!isHeld) return;
    const isFull = isDue || isNew;
    if (isFull) for (const id of things.keys()) dirty.add(id);
    const nowMs = clock.wallMs();
    for (const [id, due] of dueAtMs) if (due <= nowMs) dirty.add(id);
    // Now, because someone may ask for everything while it goes on.
    if (isFull) fullAtMs = clock.monotonicMs() + kind.fullLapMs;
    let wanted: readonly string[] = [];
    try {
      await kind.onLap({ isFull, isNew });
      wanted = [...dirty];
      dirty.clear();
      for (let from = 0; from < wanted.length; from += AT_ONCE) {
        await Promise.all(wanted.slice(from, from + AT_ONCE).map((id) => settle(id, isFull)));
      }
      await kind.onLapDone?.({ isFull });
    } catch (thrown) {
      for (const id of wanted) dirty.add(id);
      if (isFull) fullAtMs = Number.NEGATIVE_INFINITY;
      throw thrown;
    }
  };

  return {
    all: () => things,
    mark: (id) => void dirty.add(id),
    markAll,
    ring: bell.ring,
    run: async (ready, signal) => {
      const stopListening = store.onHint((hint) => {
        kind.onHint(hint);
        if (hint.kind === "all") markAll();
        if (hint.kind === "objects" && hint.of === kind.objectKind) {
          mustList = true;
          bell.ring();
        }
      });
      try {
        // It is never ready while the store is away, and a hub must be able to end.
        await Promise.race([ready, untilAborted(signal)]);
        await runLeasedLaps(
          {
            title: kind.title,
            periodMs: RENEW_MS,
            retryMs: RETRY_MS,
            lap,
            onFailed: () => kind.onFailed?.(),
            untilDueMs: () => {
              const dueMs = Math.min(Number.POSITIVE_INFINITY, ...dueAtMs.values()) - clock.wallMs();
              return Math.min(dueMs, kind.untilDueMs?.() ?? Number.POSITIVE_INFINITY);
            },
            isOthers: () => !lease.isHeld() && things.size > 0,
            untilCalled: bell.untilRung,
          },
          context,
          signal,
        );
      } finally {
        stopListening();
        await lease.release();
      }
    },
  };
}
