import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { BoxConnection } from "../../contract/fleet/box-view.ts";
import type { BoxContact } from "../store/box-report.ts";
import type { Store } from "../store/store.ts";
import { type ConnectionLimits, type ConnectionState, firstConnection, nextConnection } from "./connection-state.ts";

export interface PresenceView {
  readonly connection: BoxConnection;
  /** Wall time in milliseconds, by the clock of the hub that heard it. */
  readonly lastContactMs: number | undefined;
}

export interface ConnectionChange {
  readonly boxId: string;
  readonly from: BoxConnection;
  readonly to: BoxConnection;
}

/** Who is there: what this hub hears itself, and what others wrote into the store. */
export interface Presence extends Service {
  /** A report came, or a connection opened. `isLinked`: what a report says of the box's event stream. */
  heard(boxId: string, isLinked?: boolean): void;
  /** An event stream of the box opened or closed at this hub. */
  linked(boxId: string, isLinked: boolean): void;
  of(boxId: string): PresenceView;
  counts(): Readonly<Record<BoxConnection, number>>;
  /** Ids of the boxes that are offline. */
  offline(): readonly string[];
  /** Resolves when what is in the store was read once. */
  readonly ready: Promise<void>;
  onChange(listener: (change: ConnectionChange) => void): void;
}

export interface PresenceOptions {
  readonly limits: ConnectionLimits;
  /** How often contacts are written. */
  readonly flushMs: number;
  /** How often contacts of other hubs are read. */
  readonly refreshMs: number;
}

interface Entry {
  state: ConnectionState;
  heardMs: number | undefined;
  lastContactMs: number | undefined;
  isOpenHere: boolean;
  saysLinked: boolean;
  linkChangedMs: number;
}

const TICK_MS = 1000;
const PAGE = 1000;

export function createPresence(
  options: PresenceOptions,
  deps: { readonly store: Store; readonly clock: Clock; readonly log: Log; readonly hubId: string },
): Presence {
  const { store, clock, log, hubId } = deps;
  const entries = new Map<string, Entry>();
  const unwritten = new Map<string, BoxContact>();
  const listeners = new Set<(change: ConnectionChange) => void>();
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
  let isStoreAway = false;

  const entryOf = (boxId: string): Entry => {
    const known = entries.get(boxId);
    if (known !== undefined) return known;
    const nowMs = clock.monotonicMs();
    const made: Entry = {
      state: { name: "never", sinceMs: nowMs, goodSinceMs: undefined, falls: 0 },
      heardMs: undefined,
      lastContactMs: undefined,
      isOpenHere: false,
      saysLinked: false,
      linkChangedMs: nowMs,
    };
    entries.set(boxId, made);
    return made;
  };

  const judge = (boxId: string, entry: Entry) => {
    const { heardMs, isOpenHere, saysLinked, linkChangedMs } = entry;
    const nowMs = clock.monotonicMs();
    const next = nextConnection(
      entry.state,
      { heardMs, isLinked: isOpenHere || saysLinked, linkChangedMs },
      { nowMs, limits: options.limits },
    );
    const from = entry.state.name;
    entry.state = next;
    if (next.name === from) return;
    for (const listener of listeners) listener({ boxId, from, to: next.name });
  };

  const link = (entry: Entry, change: { readonly isOpenHere?: boolean; readonly saysLinked?: boolean }) => {
    const before = entry.isOpenHere || entry.saysLinked;
    Object.assign(entry, change);
    if (before !== (entry.isOpenHere || entry.saysLinked)) entry.linkChangedMs = clock.monotonicMs();
  };

  const note = (boxId: string, entry: Entry) => {
    entry.heardMs = clock.monotonicMs();
    entry.lastContactMs = clock.wallMs();
    unwritten.set(boxId, { boxId, lastContactMs: entry.lastContactMs, hubId });
  };

  const flush = async () => {
    const batch = [...unwritten.values()];
    unwritten.clear();
    try {
      await store.reports.noteContacts(batch);
    } catch (thrown) {
      for (const contact of batch) if (!unwritten.has(contact.boxId)) unwritten.set(contact.boxId, contact);
      throw thrown;
    }
  };

  const takeContact = (contact: BoxContact, newestMs: number) => {
    const known = entries.get(contact.boxId);
    if (known === undefined || known.lastContactMs === undefined) {
      const nowMs = clock.monotonicMs();
      const { state, heardMs } = firstConnection(
        { lastContactMs: contact.lastContactMs, newestMs },
        { nowMs, limits: options.limits },
      );
      Object.assign(entryOf(contact.boxId), { state, heardMs, lastContactMs: contact.lastContactMs });
      return;
    }
    // That it moved is what counts, and when this hub saw it move: no two clocks are compared.
    if (contact.lastContactMs <= known.lastContactMs || contact.hubId === hubId) return;
    known.lastContactMs = contact.lastContactMs;
    known.heardMs = clock.monotonicMs();
    known.saysLinked = true;
  };

  const refresh = async () => {
    const contacts: BoxContact[] = [];
    for (let after: string | undefined; ; ) {
      const page = await store.reports.listContacts({ after, limit: PAGE });
      contacts.push(...page.items);
      if (page.next === undefined) break;
      after = page.next;
    }
    const newestMs = contacts.reduce((newest, { lastContactMs }) => Math.max(newest, lastContactMs), 0);
    for (const contact of contacts) takeContact(contact, newestMs);
    const known = new Set(contacts.map(({ boxId }) => boxId));
    for (const [boxId, entry] of entries) {
      // A box that was forgotten.
      if (!known.has(boxId) && !unwritten.has(boxId) && !entry.isOpenHere) entries.delete(boxId);
    }
  };

  const guarded = async (act: () => Promise<void>): Promise<boolean> => {
    try {
      await act();
      if (isStoreAway) log.info("The store answers again: contacts are written");
      isStoreAway = false;
      return true;
    } catch (thrown) {
      if (!isStoreAway) log.warn(`Contacts of boxes cannot be written or read: ${messageOf(thrown)}`);
      isStoreAway = true;
      return false;
    }
  };

  return {
    name: "presence",
    ready,
    heard: (boxId, isLinked) => {
      const entry = entryOf(boxId);
      if (isLinked !== undefined) link(entry, { saysLinked: isLinked });
      note(boxId, entry);
      judge(boxId, entry);
    },
    linked: (boxId, isLinked) => {
      const entry = entryOf(boxId);
      link(entry, isLinked ? { isOpenHere: true } : { isOpenHere: false, saysLinked: false });
      if (isLinked) note(boxId, entry);
      judge(boxId, entry);
    },
    of: (boxId) => {
      const entry = entries.get(boxId);
      return { connection: entry?.state.name ?? "never", lastContactMs: entry?.lastContactMs };
    },
    counts: () => {
      const counts = { online: 0, degraded: 0, offline: 0, never: 0 };
      for (const { state } of entries.values()) counts[state.name]++;
      return counts;
    },
    offline: () => [...entries].filter(([, { state }]) => state.name === "offline").map(([boxId]) => boxId),
    onChange: (listener) => void listeners.add(listener),
    run: async (signal) => {
      let flushAtMs = clock.monotonicMs() + options.flushMs;
      let refreshAtMs = clock.monotonicMs();
      try {
        while (!signal.aborted) {
          const nowMs = clock.monotonicMs();
          if (nowMs >= refreshAtMs && (await guarded(refresh))) {
            isReady();
            refreshAtMs = nowMs + options.refreshMs;
          }
          if (nowMs >= flushAtMs) {
            // Nothing to write asks the store nothing, and says nothing of it.
            if (unwritten.size > 0) await guarded(flush);
            flushAtMs = nowMs + options.flushMs;
          }
          for (const [boxId, entry] of entries) judge(boxId, entry);
          await clock.delay(TICK_MS, signal);
        }
      } catch (thrown) {
        if (!signal.aborted) throw thrown;
      } finally {
        isReady();
        if (unwritten.size > 0) await guarded(flush);
      }
    },
  };
}
