import type { Clock } from "../../base/clock.ts";
import { type DetachedEnd, MAX_DETACHED_ENDS } from "../../contract/remote/detached-end.ts";
import type { RemoteBook } from "../registry/remote-book.ts";
import type { Holders } from "./holders.ts";

/** How the commands ended that go on without their operators: what nobody hears over a link, and the hub wants to know. */
export interface DetachedEnds {
  /** Asks the holders, where anything may have ended. Answers whether there is something new. Never rejects. */
  look(): Promise<boolean>;
  /** Oldest first, bounded. */
  list(): readonly DetachedEnd[];
}

/** What no holder has for so long was not just begun: it is gone with the holder that had it. */
const GONE_MS = 60_000;

export function createDetachedEnds(deps: {
  readonly book: Pick<RemoteBook, "detached">;
  readonly holders: Pick<Holders, "survey">;
  readonly bootId: string;
  readonly clock: Pick<Clock, "monotonicMs">;
}): DetachedEnds {
  const { book, holders, bootId, clock } = deps;
  const ends = new Map<string, DetachedEnd>();
  /** Since when no holder has had it, each time that all of them were asked. */
  const missedSinceMs = new Map<string, number>();
  const note = (end: DetachedEnd) => {
    ends.set(end.session, end);
    missedSinceMs.delete(end.session);
    for (const oldest of ends.keys()) {
      if (ends.size <= MAX_DETACHED_ENDS) break;
      ends.delete(oldest);
    }
  };
  // No process outlives the kernel that it ran on.
  for (const { session, bootId: began } of book.detached()) if (began !== bootId) note({ session });

  return {
    look: async () => {
      const awaited = book.detached().filter(({ session, bootId: began }) => began === bootId && !ends.has(session));
      if (awaited.length === 0) return false;
      const known = new Set(awaited.map(({ session }) => session));
      const { living, isWhole } = await holders.survey();
      const held = new Set(living.flatMap(({ status }) => status.sessions.map(({ session }) => session)));
      for (const { status } of living) for (const end of status.ended) if (known.has(end.session)) note(end);
      const nowMs = clock.monotonicMs();
      for (const { session } of awaited) {
        if (held.has(session)) missedSinceMs.delete(session);
        else if (isWhole && !ends.has(session)) {
          const sinceMs = missedSinceMs.get(session) ?? nowMs;
          if (nowMs - sinceMs >= GONE_MS) note({ session, isUnknown: true });
          else missedSinceMs.set(session, sinceMs);
        }
      }
      return awaited.some(({ session }) => ends.has(session));
    },
    list: () => [...ends.values()],
  };
}
