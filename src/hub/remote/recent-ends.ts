import type { Clock } from "../../base/clock.ts";
import type { Remote } from "./remote-record.ts";

/** Sessions that have ended a moment ago and whose ends may not know it yet. */
export interface RecentEnds {
  note(remote: Remote): void;
  /** What to tell who joins this session; `undefined`: it has not just ended. */
  messageOf(sessionId: string): string | undefined;
  /** Those of one router. */
  of(routerId: string): readonly { readonly id: string; readonly message: string }[];
}

/** Longer than any ticket for it is good. */
const KEPT_MS = 120_000;
const MAX_KEPT = 5000;

export function createRecentEnds({ clock }: { readonly clock: Clock }): RecentEnds {
  const ends = new Map<string, { readonly router: string; readonly message: string; readonly untilMs: number }>();
  const forget = () => {
    const nowMs = clock.monotonicMs();
    for (const [id, { untilMs }] of ends) {
      if (untilMs > nowMs && ends.size <= MAX_KEPT) break;
      ends.delete(id);
    }
  };
  return {
    note: ({ id, router, reason }) => {
      ends.delete(id);
      ends.set(id, { router, message: reason, untilMs: clock.monotonicMs() + KEPT_MS });
      forget();
    },
    messageOf: (sessionId) => {
      forget();
      return ends.get(sessionId)?.message;
    },
    of: (routerId) => {
      forget();
      return [...ends].flatMap(([id, { router, message }]) => (router === routerId ? [{ id, message }] : []));
    },
  };
}
