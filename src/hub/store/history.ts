import { boxes, histories } from "./box-documents.ts";
import { type BoxHistory, followHistory } from "./box-history.ts";
import { type Engine, keyOf, type Outcome, putOf } from "./engine.ts";
import { type Page, type PageRequest, readPage } from "./page.ts";

export interface HistoryStore {
  /**
   * Adds what is new and closes what has ended. What has ended stays ended, whatever a late report says. Durable; nothing
   * is written when nothing is new. Kept: the newest `INCIDENTS_KEPT` and `GAPS_KEPT` of a box.
   */
  note(boxId: string, seen: Pick<BoxHistory, "incidents" | "gaps">): Promise<void>;
  get(boxId: string): Promise<BoxHistory>;
  list(page: PageRequest): Promise<Page<BoxHistory>>;
}

export function createHistoryStore(engine: Engine): HistoryStore {
  return {
    note: (boxId, seen) =>
      engine.transact([keyOf(boxes, boxId), keyOf(histories, boxId)], ([box, held]): Outcome<void> => {
        const before = held ?? emptyHistory(boxId);
        const after = followHistory(before, seen);
        if (box === undefined || JSON.stringify(after) === JSON.stringify(before)) return { answer: undefined };
        return { answer: undefined, puts: [putOf(keyOf(histories, boxId), after)] };
      }),
    get: async (boxId) => (await engine.read([keyOf(histories, boxId)]))[0] ?? emptyHistory(boxId),
    list: (page) => readPage(engine, histories, { ...page, pick: (history) => history }),
  };
}

function emptyHistory(boxId: string): BoxHistory {
  return { boxId, incidents: [], gaps: [] };
}
