import type { SessionFacts } from "../../contract/session-status.ts";
import type { HubContext } from "../hub-context.ts";
import type { Presence } from "../life/presence.ts";
import type { Box } from "../store/box.ts";
import type { BoxOffer } from "./choose-box.ts";
import type { SeatBook } from "./seat-book.ts";

/** Every box of the fleet as somewhere to put a session. Read once, and then only what has changed. */
export interface BoxOffers {
  /** The box, or what it tells, has changed. */
  note(boxId: string): void;
  /** Anything may have changed. */
  noteAll(): void;
  list(): Promise<readonly BoxOffer[]>;
}

type Known = Omit<BoxOffer, "connection" | "seats">;

const BOXES_AT_ONCE = 100;

export function createBoxOffers(
  { store }: Pick<HubContext, "store">,
  { presence, seats }: { readonly presence: Pick<Presence, "of">; readonly seats: Pick<SeatBook, "all"> },
): BoxOffers {
  const known = new Map<string, Known>();
  const stale = new Set<string>();
  let isComplete = false;

  const toKnown = async (box: Box): Promise<Known> => {
    const report = (await store.reports.get(box.id))?.report;
    const facts: SessionFacts | undefined = report?.sessions;
    const { id, state, draining, labels } = box;
    return { id, state, draining, labels, isQuarantined: box.quarantine !== undefined, facts, run: report?.session };
  };

  const readAll = async (): Promise<void> => {
    known.clear();
    for (let after: string | undefined; ; ) {
      const page = await store.boxes.list({}, { after, limit: BOXES_AT_ONCE });
      for (const one of await Promise.all(page.items.map(toKnown))) known.set(one.id, one);
      if (page.next === undefined) return;
      after = page.next;
      // Others are answered between two pages of a large fleet.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  const refresh = async (): Promise<void> => {
    const wanted = [...stale];
    stale.clear();
    try {
      if (!isComplete) {
        // What changes while it is read is noted anew.
        isComplete = true;
        await readAll();
        return;
      }
      for (const boxId of wanted) {
        const box = await store.boxes.get(boxId);
        if (box === undefined) known.delete(boxId);
        else known.set(boxId, await toKnown(box));
      }
    } catch (thrown) {
      isComplete = false;
      throw thrown;
    }
  };

  return {
    note: (boxId) => void stale.add(boxId),
    noteAll: () => {
      isComplete = false;
    },
    list: async () => {
      await refresh();
      const taken = await seats.all();
      return [...known.values()].map((one) => ({
        ...one,
        connection: presence.of(one.id).connection,
        seats: taken.get(one.id) ?? {},
      }));
    },
  };
}
