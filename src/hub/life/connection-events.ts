import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import { createHeldLease } from "../held-lease.ts";
import type { NewEvent } from "../store/event-log.ts";
import type { Store } from "../store/store.ts";
import type { ConnectionChange, Presence } from "./presence.ts";

const LEASE = { name: "connection-events", ttlMs: 20_000, renewMs: 7000 };
const TICK_MS = 500;
/** More than this at once is told as counts: a storm of events helps nobody. */
const EACH_UP_TO = 50;
const KEPT = 20_000;

/** Tells those who watch that a box came or went. One hub of all does, by a lease. */
export function createConnectionEvents(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly hubId: string;
  readonly presence: Presence;
}): Service {
  const { store, clock, log, presence } = deps;
  const lease = createHeldLease(LEASE, deps);
  const changes: ConnectionChange[] = [];
  let isAway = false;

  const tell = async () => {
    const { isHeld } = await lease.hold();
    const taken = changes.splice(0);
    if (!isHeld) return;
    for (const [index, event] of eventsOf(taken).entries()) {
      try {
        await store.events.append(event, clock.wallMs());
      } catch (thrown) {
        if (taken.length <= EACH_UP_TO) changes.unshift(...taken.slice(index));
        throw thrown;
      }
    }
  };

  return {
    name: "connection events",
    run: async (signal) => {
      presence.onChange((change) => {
        if (changes.length < KEPT) changes.push(change);
      });
      while (!signal.aborted) {
        try {
          await tell();
          isAway = false;
        } catch (thrown) {
          if (!isAway) log.warn(`That boxes come and go cannot be told: ${messageOf(thrown)}`);
          isAway = true;
        }
        await clock.delay(TICK_MS, signal).catch(() => undefined);
      }
    },
  };
}

/** Pure. */
export function eventsOf(changes: readonly ConnectionChange[]): readonly NewEvent[] {
  if (changes.length <= EACH_UP_TO) {
    return changes.map(({ boxId, from, to }) => ({
      kind: "box.state",
      boxId,
      text: `${boxId} is ${to}`,
      data: { from, to },
    }));
  }
  const counts = new Map<string, number>();
  for (const { to } of changes) counts.set(to, (counts.get(to) ?? 0) + 1);
  const text = [...counts].map(([to, count]) => `${count} ${to}`).join(", ");
  return [{ kind: "box.states", text: `${changes.length} boxes changed: ${text}`, data: Object.fromEntries(counts) }];
}
