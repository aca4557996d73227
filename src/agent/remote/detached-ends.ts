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

export function createDetachedEnds(deps: {
  readonly book: Pick<RemoteBook, "detached">;
  readonly holders: Pick<Holders, "living">;
  readonly bootId: string;
}): DetachedEnds {
  const { book, holders, bootId } = deps;
  const ends = new Map<string, DetachedEnd>();
  const note = (end: DetachedEnd) => {
    ends.set(end.session, end);
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
      for (const { status } of await holders.living()) {
        for (const end of status.ended) if (known.has(end.session)) note(end);
      }
      return awaited.some(({ session }) => ends.has(session));
    },
    list: () => [...ends.values()],
  };
}
