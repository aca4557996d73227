import type { Clock, Timer } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Workload } from "../../contract/workload.ts";
import {
  applyEvent,
  EMPTY_EXPECTED,
  type ExpectationEvent,
  type ExpectedState,
  endUnclaimed,
  releaseHeld,
} from "./expected.ts";
import { NO_SESSION_MEMORY, type SessionMemory } from "./session-memory.ts";

/** What is kept of the expected set across restarts. */
export interface ExpectedDocument {
  readonly epoch?: string | undefined;
  readonly revision?: number | undefined;
  /** The id of the last event that is part of this document. */
  readonly lastEventId?: string | undefined;
  readonly workloads: readonly Workload[];
  /** Ids whose removal the shrink guard held back when this was written. */
  readonly heldIds?: readonly string[] | undefined;
  readonly sessions?: StoredSessions | undefined;
}

/** What the box remembers of sessions beside the set. */
export interface StoredSessions {
  readonly unclaimed: readonly string[];
  readonly withheld: readonly string[];
  /** Id and turn. */
  readonly stopped: readonly (readonly [string, number])[];
}

export interface ExpectedStoreDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Ids of workloads that run at this moment. */
  readonly running: () => ReadonlySet<string>;
  /** Resolves once the document is durable, or once the disk has been given up on for now. Never rejects. */
  readonly save: (document: ExpectedDocument) => Promise<void>;
  /** Workloads that became part of the set; called before anything can be logged about them. */
  readonly onPut: (workloads: Iterable<Workload>) => void;
  readonly onChange: () => void;
}

/** The expected set of this box, its cursor, and the hold of the shrink guard. */
export interface ExpectedStore {
  state(): ExpectedState;
  /** How far what was applied is also stored: what may be told to a server as done. */
  stored(): Pick<ExpectedState, "epoch" | "revision">;
  /** Id of the last event that was applied and stored. */
  cursor(): string | undefined;
  /** The server has named the whole set since the start, or has had `shrinkHoldMs` for it since it was first reached. */
  isConfirmed(): boolean;
  /** Resolves once that is so. */
  readonly confirmed: Promise<void>;
  /** The server has been reached. */
  connected(): void;
  /**
   * Applies an event; the reconciler is woken before the disk has answered. Resolves with what the server must be asked
   * for, once the event is stored.
   */
  apply(event: ExpectationEvent, eventId: string | undefined): Promise<{ readonly needsSnapshot: string | undefined }>;
  /** Ends a session that the hub's present memory does not know. Resolves once that is stored; false: it is none of those. */
  endUnclaimed(id: string): Promise<boolean>;
  /** An id that came without an event. */
  moveCursor(eventId: string | undefined): Promise<void>;
}

export function createExpectedStore(
  options: { readonly shrinkHoldMs: number; readonly isConfirmed?: boolean },
  loaded: ExpectedDocument | undefined,
  deps: ExpectedStoreDeps,
): ExpectedStore {
  let state: ExpectedState = EMPTY_EXPECTED;
  let cursor = loaded?.lastEventId;
  let stored: Pick<ExpectedState, "epoch" | "revision"> = { epoch: loaded?.epoch, revision: loaded?.revision };
  let cancelHold = () => {};
  let isConfirmed = options.isConfirmed ?? false;
  let confirmation: Timer | undefined;
  const confirmed = Promise.withResolvers<void>();
  if (isConfirmed) confirmed.resolve();

  const confirm = () => {
    confirmation?.clear();
    isConfirmed = true;
    confirmed.resolve();
  };

  const save = async () => {
    const { epoch, revision, workloads, held, sessions } = state;
    await deps.save({
      epoch,
      revision,
      lastEventId: cursor,
      workloads: [...workloads.values()],
      heldIds: held?.ids,
      sessions: toStored(sessions),
    });
    stored = { epoch, revision };
  };

  const become = (next: ExpectedState) => {
    const before = state;
    state = next;
    deps.onPut([...next.workloads.values()].filter((workload) => before.workloads.get(workload.id) !== workload));
    if (before.held?.dueAtMs !== next.held?.dueAtMs) armHold();
  };
  const settle = (next: ExpectedState, isNewlyConfirmed = false) => {
    const before = state;
    become(next);
    const isSame =
      hasSameEntries(before.workloads, next.workloads) &&
      before.held === next.held &&
      before.sessions === next.sessions;
    if (isNewlyConfirmed || !isSame) deps.onChange();
  };

  const armHold = () => {
    cancelHold();
    cancelHold = () => {};
    const { held } = state;
    if (held === undefined) return;
    const seconds = Math.round((held.dueAtMs - deps.clock.monotonicMs()) / 1000);
    deps.log.warn(`Holding ${held.ids.length} removals for ${seconds} s: ${held.reason}`);
    const timer = deps.clock.timer(held.dueAtMs - deps.clock.monotonicMs(), () => {
      deps.log.warn(`The hold is over: removing ${held.ids.length} workloads`);
      settle(releaseHeld(state, deps.clock.monotonicMs()));
      void save();
    });
    cancelHold = () => timer.clear();
  };

  if (loaded !== undefined) {
    const workloads = new Map(loaded.workloads.map((workload) => [workload.id, workload]));
    const ids = loaded.heldIds?.filter((id) => workloads.has(id)) ?? [];
    const held =
      ids.length === 0
        ? undefined
        : {
            ids,
            dueAtMs: deps.clock.monotonicMs() + options.shrinkHoldMs,
            reason: "held before the agent was restarted",
          };
    const sessions = loaded.sessions === undefined ? NO_SESSION_MEMORY : fromStored(loaded.sessions, workloads);
    become({ epoch: loaded.epoch, revision: loaded.revision, workloads, held, sessions });
  }

  return {
    state: () => state,
    stored: () => stored,
    cursor: () => cursor,
    isConfirmed: () => isConfirmed,
    confirmed: confirmed.promise,
    connected: () => {
      if (isConfirmed || confirmation !== undefined) return;
      confirmation = deps.clock.timer(options.shrinkHoldMs, () => {
        confirm();
        deps.onChange();
      });
    },
    apply: async (event, eventId) => {
      const applied = applyEvent(state, event, {
        nowMs: deps.clock.monotonicMs(),
        running: deps.running(),
        shrinkHoldMs: options.shrinkHoldMs,
      });
      if (applied.needsSnapshot !== undefined) return { needsSnapshot: applied.needsSnapshot };
      // Before the lap that follows: what the whole set leaves out is not wanted.
      const isNewlyConfirmed = !isConfirmed && (event.kind === "snapshot" || event.kind === "whole");
      if (isNewlyConfirmed) confirm();
      if (applied.state !== state || isNewlyConfirmed) settle(applied.state, isNewlyConfirmed);
      if (eventId !== undefined) cursor = eventId === "" ? undefined : eventId;
      await save();
      return { needsSnapshot: undefined };
    },
    endUnclaimed: async (id) => {
      const next = endUnclaimed(state, id);
      if (next === state) return false;
      settle(next);
      await save();
      return true;
    },
    moveCursor: async (eventId) => {
      cursor = eventId === "" ? undefined : eventId;
      await save();
    },
  };
}

/** Most boxes have nothing to remember, and their document says nothing of it. */
function toStored({ unclaimed, withheld, stopped }: SessionMemory): StoredSessions | undefined {
  if (unclaimed.size + withheld.size + stopped.size === 0) return undefined;
  return { unclaimed: [...unclaimed], withheld: [...withheld], stopped: [...stopped] };
}

function fromStored(stored: StoredSessions, workloads: ReadonlyMap<string, Workload>): SessionMemory {
  const present = (ids: readonly string[]) => new Set(ids.filter((id) => workloads.get(id)?.kind === "session"));
  return {
    unclaimed: present(stored.unclaimed),
    withheld: present(stored.withheld),
    stopped: new Map(stored.stopped),
  };
}

function hasSameEntries<K, V>(one: ReadonlyMap<K, V>, other: ReadonlyMap<K, V>): boolean {
  return one.size === other.size && [...one].every(([key, value]) => other.get(key) === value);
}
